/** The row of tabs. */

import { h } from "./dom.js";

/**
 * Tabs after the ARIA pattern: arrow keys, Home and End go through them, one of them is in the tab order.
 * @param {{key: string, title: string}[]} tabs
 * @param {(key: string) => void} shown called with the one that is chosen
 */
export function tabList(tabs, shown, label) {
  const buttons = tabs.map(({ key, title }) =>
    h(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${key}`,
        "aria-controls": `panel-${key}`,
        "aria-selected": "false",
        tabindex: "-1",
        "data-testid": `tab-${key}`,
        onclick: () => choose(key),
      },
      title,
    ),
  );
  const root = h("div", { role: "tablist", "aria-label": label, class: "tabs", onkeydown: keys }, buttons);

  function keys(event) {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = (to + buttons.length) % buttons.length;
    buttons[next].focus();
    choose(tabs[next].key);
  }

  function choose(key) {
    mark(key);
    shown(key);
  }

  function mark(key) {
    tabs.forEach((tab, n) => {
      const is = tab.key === key;
      buttons[n].setAttribute("aria-selected", String(is));
      buttons[n].tabIndex = is ? 0 : -1;
    });
    centre();
  }

  /** The chosen one in the middle, where there is no room for all; the page itself stays where it is. */
  function centre() {
    const chosen = buttons.find((button) => button.tabIndex === 0);
    if (!chosen) return;
    const [box, inner] = [root.getBoundingClientRect(), chosen.getBoundingClientRect()];
    root.scrollLeft += inner.left + inner.width / 2 - (box.left + box.width / 2);
  }

  new ResizeObserver(centre).observe(root);
  return { root, mark };
}
