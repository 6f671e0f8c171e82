/**
 * Keys for everything, but where somebody types into a field or moves a slider.
 * @param {Record<string, () => void>} actions by `KeyboardEvent.key`, letters in lower case
 */
export function listenToKeys(actions) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target instanceof Element && event.target.closest("input, select, button, summary");
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (field && key !== "Escape") return;
    const action = actions[key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
