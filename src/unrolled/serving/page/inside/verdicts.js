/** Verdicts on how gradients flow, in words that need no textbook. */

import { h } from "../lib/dom.js";
import { capital } from "../lib/format.js";

const steps = (count) => `${count} step${count === 1 ? "" : "s"}`;

/** What follows from the verdicts on all layers: the worst of them decides. */
export function inPlainWords(verdicts) {
  const of = (kind) => verdicts.find((one) => one.kind === kind);
  const exploding = of("exploding");
  const vanishing = of("vanishing");
  if (exploding)
    return "Training is unstable: the error grows on its way back, so small changes early on throw everything off.";
  if (vanishing)
    return vanishing.lag
      ? `This network hardly learns from what is more than ${steps(vanishing.lag)} back: the error has faded by then.`
      : "This network hardly learns from early steps: the error fades on its way back.";
  const fading = of("healthy")?.lag;
  if (fading)
    return `This network learns from about ${steps(fading)} back, enough where each step has its own target.`;
  if (of("healthy")) return "This network learns from all of these steps: the error reaches back through them.";
  return "These are too few steps to tell how far back this network learns; give it a longer input.";
}

/** One layer's verdict: what is the matter, the evidence, and what to try, without the options of a command. */
export function verdictOf({ layer, kind, evidence, remedies = [] }) {
  const tries = remedies.map((remedy) => remedy.replaceAll(/ \(--[^)]*\)/g, ""));
  return h(
    "li",
    { class: `flow ${kind}` },
    h("p", {}, h("strong", {}, `${layer}: ${kind}. `), evidence ? `${capital(evidence)}.` : ""),
    tries.length ? h("p", { class: "soft" }, `Worth trying, most promising first: ${tries.join("; ")}.`) : null,
  );
}
