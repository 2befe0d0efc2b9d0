/** The page: a text that is completed as it is typed, or a form for the numbers of each step. */
const at = (id) => document.getElementById(id);
const decoded = (id) => Uint8Array.from(atob(at(id).textContent), (character) => character.charCodeAt(0));
const numbersOf = (line) =>
  line.split(/[\s,;]+/).filter(Boolean).map((word) => {
    const number = word === "?" ? NaN : Number(word);
    if (word !== "?" && !Number.isFinite(number)) throw new RangeError(`"${word}" is no number`);
    return number;
  });

function element(tag, text = "", properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: text, ...properties });
}

/** Text, and what it may go on with. */
function typing(model) {
  const box = at("given");
  const typed = new Typed(model);
  let offered = [];
  const accept = (text) => {
    box.focus();
    // keeps the browser's undo
    if (!document.execCommand("insertText", false, text)) {
      box.setRangeText(text, box.selectionStart, box.selectionEnd, "end");
      show();
    }
  };
  function show() {
    const before = box.value.slice(0, box.selectionStart);
    typed.become(before);
    const { suggestions, chosen } = before ? model.complete() : { suggestions: [], chosen: -1 };
    const first = chosen < 0 ? [] : [suggestions[chosen]];
    offered = [...first, ...suggestions.filter((_, n) => n !== chosen)].slice(0, 6);
    at("answers").replaceChildren(
      ...offered.map((one, n) => {
        const button = element("button", one.text, { type: "button", title: `${one.score.toFixed(2)} nats a token` });
        button.classList.toggle("chosen", chosen >= 0 && n === 0);
        button.addEventListener("click", () => accept(one.text));
        const item = element("li");
        item.append(button);
        return item;
      }),
    );
  }
  let waiting = 0;
  const later = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => guarded(show), 15);
  };
  box.addEventListener("input", later);
  box.addEventListener("click", later);
  box.addEventListener("keyup", (event) => event.key.startsWith("Arrow") && later());
  box.addEventListener("keydown", (event) => {
    const plain = !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey && !event.isComposing;
    if (event.key === "Tab" && plain && offered.length && box.selectionStart === box.selectionEnd) {
      event.preventDefault();
      accept(offered[0].text);
    }
  });
  box.focus();
}

/** Numbers, a step a line, and what comes out after each. */
function stepping(model, facts) {
  const run = () => {
    model.begin();
    const lines = at("given").value.split("\n").filter((line) => line.trim());
    const named = facts.series ? numbersOf(at("series").value) : [];
    if (facts.series) model.describe(named);
    const ahead = facts.horizon && facts.known ? facts.horizon : 0;
    const rows = lines.slice(0, lines.length - ahead).map((line, n) => {
      try {
        return [n + 1, model.step(numbersOf(line)), facts.series ? [] : [...model.probabilities()]];
      } catch (error) {
        throw new RangeError(`line ${n + 1}: ${error.message}`);
      }
    });
    if (facts.horizon) {
      const outputs = model.forecast(lines.slice(lines.length - ahead).flatMap(ahead ? numbersOf : () => []));
      const width = outputs.length / facts.horizon;
      rows.length = 0;
      for (let step = 0; step < facts.horizon; step += 1)
        rows.push([`+${step + 1}`, outputs.subarray(step * width, (step + 1) * width), []]);
    }
    at("answers").replaceChildren(...rows.map((row) => answer(facts, ...row)));
  };
  at("run").addEventListener("click", () => guarded(run));
}

/** One line of answers: the likeliest classes, or the numbers themselves. */
function answer(facts, step, outputs, probabilities) {
  const best = probabilities.map((p, k) => [p, k]).sort((a, b) => b[0] - a[0]).slice(0, 3);
  const shown = best.map(([p, k]) => `${facts.labels[k] ?? k} ${(100 * p).toFixed(1)} %`);
  return element("li", `${step}: ${(shown.length ? shown : [...outputs].map((v) => v.toPrecision(6))).join(", ")}`);
}

/** Does something, and says on the page what is wrong with what was given. */
function guarded(act) {
  try {
    act();
    at("problem").textContent = "";
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    at("answers").replaceChildren();
    at("problem").textContent = error.message;
  }
}

const facts = JSON.parse(at("facts").textContent);
const model = await Model.make(decoded("code"), decoded("weights"));
at("hint").textContent = facts.hint;
for (const id of ["run", "series-row"]) at(id).hidden = facts.typing || (id === "series-row" && !facts.series);
if (facts.typing) typing(model);
else stepping(model, facts);
document.body.dataset.ready = "true";
