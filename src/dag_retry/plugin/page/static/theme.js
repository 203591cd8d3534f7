// The theme, light or dark. In Airflow's frame it follows Airflow's UI, else the system.

const system = matchMedia("(prefers-color-scheme: dark)");

function around() {
  try {
    return parent === window ? null : parent.document.documentElement;
  } catch {
    return null; // The page is in a frame of another site.
  }
}

function follow() {
  const classes = around()?.classList;
  const dark = classes?.contains("dark") || (!classes?.contains("light") && system.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

follow();
system.addEventListener("change", follow);
const root = around();
if (root) new MutationObserver(follow).observe(root, { attributes: true, attributeFilter: ["class"] });
