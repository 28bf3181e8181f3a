// A browser without a screen: keeps cookies, follows redirects, fills in the provider's forms for one person.

const ENTITIES = { '&amp;': '&', '&quot;': '"', '&#39;': "'", '&lt;': '<', '&gt;': '>' };
const MOST_STEPS = 30;

/** The browser of one person at one provider. */
export class Browser {
  #person;
  #origin;
  #cookies = [];

  constructor(person, origin) {
    this.#person = person;
    this.#origin = origin;
  }

  /**
   * Opens `url` and does what the pages ask for: signs in, agrees (or, with `cancel`, declines), types a device's `code`,
   * confirms. Ends at a page where there is nothing to do, or where it is sent away from the provider; `follow` then
   * opens that page too. Gives the last address, status and text.
   */
  async visit(url, { cancel = false, follow = true, code } = {}) {
    let next = { url: new URL(url), body: undefined };
    for (let step = 0; step < MOST_STEPS; step += 1) {
      if (next.url.origin !== this.#origin) return follow ? await leave(next.url) : { url: next.url.href };
      const response = await this.#send(next);
      const location = response.headers.get('location');
      if (location) {
        next = { url: new URL(location, next.url), body: undefined };
        continue;
      }
      const text = await response.text();
      const form = this.#fill(text, next.url, cancel, code);
      code = undefined;
      if (!form) return { url: next.url.href, status: response.status, text };
      next = form;
    }
    throw new Error(`${url} leads nowhere: ${next.url}`);
  }

  async #send({ url, body }) {
    const cookie = this.#cookies.filter(({ path }) => url.pathname.startsWith(path));
    const headers = cookie.length ? { cookie: cookie.map(({ name, value }) => `${name}=${value}`).join('; ') } : {};
    const response = await fetch(url, { method: body ? 'POST' : 'GET', redirect: 'manual', headers, body });
    for (const line of response.headers.getSetCookie()) this.#keep(line, url);
    return response;
  }

  #keep(line, url) {
    const [pair, ...attributes] = line.split(';').map((part) => part.trim());
    const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
    const attribute = (wanted) => attributes.find((one) => one.toLowerCase().startsWith(`${wanted}=`))?.split('=')[1];
    const path = attribute('path') ?? url.pathname;
    this.#cookies = this.#cookies.filter((other) => other.name !== name || other.path !== path);
    const ended = attribute('expires') && Date.parse(attribute('expires')) <= Date.now();
    if (value && !ended) this.#cookies.push({ name, value, path });
  }

  #fill(html, url, cancel, code) {
    const abort = cancel && html.match(/href="([^"]*\/abort)"/);
    if (abort) return { url: new URL(plain(abort[1]), url), body: undefined };
    const form = html.match(/<form([^>]*)>([\s\S]*?)<\/form>/);
    if (!form) return undefined;
    const asksForCode = form[1].includes('op.deviceInputForm');
    if (asksForCode && !code) return undefined;
    const body = new URLSearchParams();
    for (const [, input] of form[2].matchAll(/<input([^>]*)>/g)) {
      const of = (name) => plain(input.match(new RegExp(`\\s${name}="([^"]*)"`))?.[1] ?? '');
      if (of('name')) body.set(of('name'), of('value'));
    }
    if (body.has('login')) {
      body.set('login', this.#person);
      body.set('password', 'any');
    }
    if (asksForCode) body.set('user_code', code);
    // The buttons of these two forms lie outside of them.
    if (form[1].includes('op.logoutForm')) body.set('logout', 'yes');
    if (cancel && form[1].includes('op.deviceConfirmForm')) {
      body.delete('confirm');
      body.set('abort', 'yes');
    }
    return { url: new URL(plain(form[1].match(/action="([^"]*)"/)[1]), url), body };
  }
}

async function leave(url) {
  const response = await fetch(url, { redirect: 'manual' });
  return { url: url.href, status: response.status, text: await response.text() };
}

function plain(html) {
  return html.replace(/&[^;]+;/g, (entity) => ENTITIES[entity] ?? entity);
}
