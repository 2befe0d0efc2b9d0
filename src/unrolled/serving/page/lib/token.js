/** The dialog that asks for the server's token. */

import { h } from "./dom.js";

/** What was given, or null; `again` says that the one before was not right. */
export function askToken(again) {
  return new Promise((resolve) => {
    const field = h("input", {
      type: "password",
      id: "token",
      autocomplete: "current-password",
      required: true,
      "data-testid": "token",
    });
    const dialog = h(
      "dialog",
      { "aria-labelledby": "token-title", "data-testid": "token-dialog" },
      h(
        "form",
        { method: "dialog" },
        h("h2", { id: "token-title" }, "This server asks for its token"),
        h(
          "p",
          { class: "soft" },
          again ? "That one was not right. " : "",
          "It is in the file that the server was started with, --token-file. It stays in this browser tab.",
        ),
        h("label", { for: "token" }, "Token"),
        field,
        h(
          "p",
          { class: "row end" },
          h("button", { type: "button", class: "quiet", onclick: () => dialog.close("") }, "Cancel"),
          h("button", { class: "primary", value: "use" }, "Use it"),
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "use" ? field.value.trim() : null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
