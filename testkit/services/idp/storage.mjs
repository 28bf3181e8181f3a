// Where the provider keeps what it issued: in memory, apart from the provider, which is built anew when its keys rotate.

const GRANTABLE = new Set(['AccessToken', 'AuthorizationCode', 'RefreshToken', 'DeviceCode']);
const entries = new Map();

/** The adapter of `oidc-provider`, one object a kind of thing. */
export class Storage {
  #kind;

  constructor(kind) {
    this.#kind = kind;
  }

  #key(id) {
    return `${this.#kind}:${id}`;
  }

  #findBy(name, value) {
    for (const [key, { payload }] of entries) {
      if (key.startsWith(`${this.#kind}:`) && payload[name] === value) return this.#live(key);
    }
    return undefined;
  }

  #live(key) {
    const entry = entries.get(key);
    if (entry && entry.ends <= Date.now()) entries.delete(key);
    return entries.get(key)?.payload;
  }

  async upsert(id, payload, seconds) {
    entries.set(this.#key(id), { payload, ends: seconds ? Date.now() + seconds * 1000 : Infinity });
  }

  async find(id) {
    return this.#live(this.#key(id));
  }

  async findByUid(uid) {
    return this.#findBy('uid', uid);
  }

  async findByUserCode(code) {
    return this.#findBy('userCode', code);
  }

  async consume(id) {
    const payload = this.#live(this.#key(id));
    if (payload) payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    entries.delete(this.#key(id));
  }

  async revokeByGrantId(grant) {
    revoke((payload, kind) => GRANTABLE.has(kind) && payload.grantId === grant);
  }
}

/** Forgets what `matches(payload, kind)` is true for, and tells how many there were. */
export function revoke(matches) {
  let count = 0;
  for (const [key, { payload }] of entries) {
    if (matches(payload, key.split(':', 1)[0])) {
      entries.delete(key);
      count += 1;
    }
  }
  return count;
}
