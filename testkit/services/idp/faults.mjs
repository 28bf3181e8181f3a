// What a server does instead of answering, as a test wishes, and how often it was asked.

/** Faults in front of `answer`, a function of request and response. */
export class Faults {
  #answer;
  #wishes = [];
  #counts = new Map();

  constructor(answer) {
    this.#answer = answer;
  }

  /**
   * Replaces the fault of all paths that begin with `path`. `kind`: `hang` (no answer ever), `close` (the connection
   * ends), `delay` (the right answer, `ms` later), `answer` (`status`, `type` and `body` instead), `none`.
   */
  set({ path = '/', kind, ...rest }) {
    this.#wishes = this.#wishes.filter((wish) => wish.path !== path);
    if (kind !== 'none') this.#wishes.unshift({ path, kind, ...rest });
  }

  /** How often each path was asked for. */
  counts() {
    return Object.fromEntries(this.#counts);
  }

  handle(request, response) {
    const { pathname } = new URL(request.url, 'http://localhost');
    this.#counts.set(pathname, (this.#counts.get(pathname) ?? 0) + 1);
    const wish = this.#wishes.find(({ path }) => pathname.startsWith(path));
    switch (wish?.kind) {
      case 'hang':
        return;
      case 'close':
        request.socket.destroy();
        return;
      case 'delay':
        setTimeout(() => this.#answer(request, response), wish.ms);
        return;
      case 'answer':
        response.writeHead(wish.status ?? 200, { 'content-type': wish.type ?? 'application/json', ...wish.headers });
        response.end(wish.body ?? '');
        return;
      default:
        this.#answer(request, response);
    }
  }
}
