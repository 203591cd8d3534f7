"""A small model of Airflow around the real scripts and the real callbacks, in which every order can be tried.

``scripts``  what a Lua script does to a record: the real text, run once for each question that differs
``flow``     what a callback asks for next: the real code, run once for each series of answers that differs
``airflow``  runs, generations, tasks, clears, faults, and the promises that must hold
``search``   every schedule, shortest first; or random ones, by seed
"""
