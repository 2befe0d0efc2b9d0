/** The steps of an answer, under whichever name a use gives them, and those of a stream put together. */

export const stepsOf = (answer) => answer.steps ?? answer.words ?? answer.tokens ?? [];

/**
 * Collects the steps of a stream: an answer's replace all that begin at `since` or later; without it they follow.
 * What the server remembers of a text outlives what is shown of it, so this does too.
 */
export class Steps {
  all = [];

  add(answer) {
    const { since = Infinity } = answer;
    this.all = [...this.all.filter(({ start }) => start < since), ...stepsOf(answer)];
    return this.all;
  }
}
