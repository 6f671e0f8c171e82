/**
 * Keys for everything, but for those that the field means itself that somebody is in.
 * @param {Record<string, () => void>} actions by `KeyboardEvent.key`, letters in lower case
 */
export function listenToKeys(actions) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const within = (/** @type {string} */ kinds) => event.target instanceof Element && event.target.closest(kinds);
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key !== "Escape" && (within("input, select") || (key === " " && within("button, summary")))) return;
    const action = actions[key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
