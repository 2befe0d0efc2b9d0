/** A problem (RFC 9457) that the server answered with; `message` is its one line. */
export class Problem extends Error {
  constructor(problem, retryAfter = null) {
    super(problem.detail || problem.title || `The server answered ${problem.status}.`);
    this.name = "Problem";
    this.status = problem.status ?? 0;
    this.errors = problem.errors ?? [];
    this.retryAfter = retryAfter;
  }
}
