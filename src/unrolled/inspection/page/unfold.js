// Steps through an unfolded network: forwards, what each unit holds; backwards, the error that arrives (BPTT).
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("unfolded").textContent);
  const root = document.getElementById("unfold");
  const AROUND = 4;
  let now = 0, layer = data.layers.length - 1, backwards = false, timer = null;

  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "style") node.style.cssText = value;
      else if (value !== null) node.setAttribute(name, value);
    }
    for (const child of children) node.append(child);
    return node;
  };
  const visible = (text) => text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ $/, "␣");
  const short = (x) => (x === null ? "no finite number" : x === 0 ? "0" : Math.abs(x) >= 0.01 && Math.abs(x) < 1000 ? x.toPrecision(3) : x.toExponential(1));

  // blue for what is negative, red for what is positive, nothing for 0; a gate runs from nothing to full
  const colour = (value, limit, positive) => {
    const share = Math.min(1, Math.abs(value) / limit);
    const [r, g, b] = positive ? [0, 122, 89] : value < 0 ? [0, 114, 178] : [198, 81, 2];
    return `rgba(${r}, ${g}, ${b}, ${share.toFixed(3)})`;
  };
  const strip = (values, positive, label) => {
    const limit = positive ? 1 : Math.max(1e-12, ...values.map(Math.abs));
    const cells = values.map((v) => make("i", { style: `background:${colour(v, limit, positive)}` }));
    return make("div", { class: "strip", role: "img", "aria-label": label }, ...cells);
  };
  const bars = (rows, kind) => {
    const most = Math.max(1e-12, ...rows.map((row) => Math.abs(row[1])));
    return rows.map(([name, value, text]) =>
      make("div", { class: "gate" }, make("span", { class: "step" }, name),
        make("div", {}, make("div", { class: `bar ${kind}`, style: `width:${(100 * Math.abs(value)) / most}%` })), text));
  };

  const controls = make("div", { class: "controls" });
  const slider = make("input", { type: "range", min: 0, value: 0, "aria-label": "step",
    oninput: () => { now = Number(slider.value); draw(); } });
  const forwardButton = make("button", { onclick: () => { backwards = false; draw(); } }, "forwards");
  const backwardButton = make("button", { onclick: () => { backwards = true; draw(); } }, "backwards");
  const play = make("button", { onclick: () => toggle() }, "play");
  const choice = make("select", { "aria-label": "layer", onchange: () => { layer = Number(choice.value); move(0); } },
    ...data.layers.map((one, index) => make("option", { value: index }, `${one.name} · ${one.cell}`)));
  choice.value = String(layer);
  controls.append(forwardButton, backwardButton, make("button", { "aria-label": "step back", onclick: () => move(-1) }, "◀"),
    play, make("button", { "aria-label": "step on", onclick: () => move(1) }, "▶"), slider, choice);
  const stage = make("div", { "aria-live": "polite" });
  root.append(controls, stage);

  // a decoder has the steps of the output, other layers those of the input
  const last = () => data.layers[layer].steps.length - 1;
  const move = (by) => { now = Math.min(last(), Math.max(0, now + by)); draw(); };
  const toggle = () => {
    if (timer) { clearInterval(timer); timer = null; play.textContent = "play"; return; }
    play.textContent = "stop";
    timer = setInterval(() => {
      const next = now + (backwards ? -1 : 1);
      if (next < 0 || next > last()) toggle(); else { now = next; draw(); }
    }, 350);
  };
  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLSelectElement || event.target instanceof HTMLInputElement) return;
    if (event.key === "ArrowRight") move(1);
    else if (event.key === "ArrowLeft") move(-1);
    else return;
    event.preventDefault();
  });

  function draw() {
    slider.max = String(last());
    slider.value = String(now);
    forwardButton.setAttribute("aria-pressed", String(!backwards));
    backwardButton.setAttribute("aria-pressed", String(backwards));
    const one = data.layers[layer];
    const steps = one.error_norms.length;
    const at = now;
    const said = one.over === "output" || (one.over === "input" && data.synced);
    const first = Math.max(0, Math.min(at - AROUND, steps - 2 * AROUND - 1));
    const columns = [];
    for (let t = first; t < Math.min(steps, first + 2 * AROUND + 1); t += 1) {
      const values = backwards ? one.errors.h[t] : one.values.h[t];
      const size = backwards ? `‖∂L/∂h‖ ${short(one.error_norms[t])}` : `‖h‖ ${short(one.norms[t])}`;
      columns.push(make("div", { class: `column${t === at ? " now" : ""}${backwards ? " back" : ""}` },
        make("div", { class: "step" }, visible(one.steps[t])),
        strip(values, false, `${size} at step ${t + 1}`), make("div", { class: "soft" }, size)));
    }
    const parts = [make("div", { class: "columns" }, ...columns)];
    const tallest = Math.max(1e-300, ...one.error_norms);
    const profile = one.error_norms.map((value, t) => make("button", {
      class: t === at ? "now" : backwards && t < at ? "future" : "", title: `step ${t + 1}: ‖∂L/∂h‖ ${short(value)}`,
      "aria-label": `step ${t + 1}`, tabindex: "-1", style: `height:${Math.max(2, (100 * value) / tallest)}%`,
      onclick: () => { now = t; draw(); } }));
    if (backwards) {
      parts.push(make("p", {}, `The error that arrives at each step of ${one.name}; it walks from the last step to the first. `
        + `Here, at step ${at + 1}, ‖∂L/∂h‖ = ${short(one.error_norms[at])}.`), make("div", { class: "profile" }, ...profile));
      const rows = Object.entries(one.shares).map(([name, values]) =>
        [name, values[at], make("span", {}, `${short(values[at])} of ${short(one.gradients[name])}`)]);
      parts.push(make("p", {}, "What this step adds to the gradient of each weight (norm, of the norm of all steps together):"),
        ...bars(rows, "error"));
    } else {
      const gates = Object.entries(one.values).filter(([name]) => name !== "tanh_c" && name.length <= 13);
      parts.push(make("p", {}, `Gates and states of ${one.name} at step ${at + 1}, a cell a unit `
        + "(green: 0 to 1; blue negative, red positive, as a share of the largest):"));
      for (const [name, values] of gates) {
        const positive = one.activations[name] === "sigmoid";
        parts.push(make("div", { class: "gate" }, make("span", { class: "step" }, name),
          strip(values[at], positive, `${name} at step ${at + 1}`), make("span", {}, `mean ${short(one.means[name][at])}`)));
      }
      const output = said ? at : data.losses.length - 1;
      const likeliest = data.likeliest[output].map(([name, p]) => [visible(name), p, make("span", {}, data.values ? short(p) : `${(100 * p).toFixed(1)} %`)]);
      const asked = data.values ? `What the output layer then says of “${visible(data.outputs[output])}” (${visible(data.asked[output])} first; standardised):`
        : `What the output layer then holds for likely; asked about: “${visible(data.asked[output])}”, `
        + `−ln p = ${short(data.losses[output])} nats:`;
      parts.push(make("p", {}, asked), ...bars(likeliest, "class"));
    }
    stage.replaceChildren(...parts);
  }
  draw();
})();
