// Elements. HTML in a dag_id or an error is shown as text.

export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "dataset") Object.assign(made.dataset, value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child || child === 0));
  return made;
}

// Shows a list of items. An element is made anew only if its item has changed, so focus and selection stay.
export function keyed(parent, items, key, make) {
  const before = parent.made ?? new Map();
  const now = new Map();
  for (const item of items) {
    const text = JSON.stringify(item);
    const old = before.get(key(item));
    now.set(key(item), old?.text === text ? old : { text, element: make(item) });
  }
  const elements = [...now.values()].map(({ element }) => element);
  if (elements.length !== parent.childElementCount || elements.some((one, at) => one !== parent.children[at])) {
    parent.replaceChildren(...elements);
  }
  parent.made = now;
}
