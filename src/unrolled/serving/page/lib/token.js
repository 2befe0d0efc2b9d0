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
        h("h2", { id: "token-title" }, "This server needs a token"),
        h(
          "p",
          { class: "soft" },
          again ? "That token is wrong. " : "",
          "It is in the file that the server was given as --token-file. It is kept in this browser tab only.",
        ),
        h("label", { for: "token" }, "Token"),
        field,
        h(
          "p",
          { class: "row end" },
          h("button", { type: "button", class: "quiet", onclick: () => dialog.close("") }, "Cancel"),
          h("button", { class: "primary", value: "use" }, "Continue"),
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
