// An OpenID provider of our own on loopback: the certified `oidc-provider` with three people in it.

import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import { exportJWK, generateKeyPair } from 'jose';

import { serve } from '../control.mjs';
import { Browser } from './browser.mjs';
import * as exchange from './exchange.mjs';
import { Faults } from './faults.mjs';
import { revoke, Storage } from './storage.mjs';

// After `control.mjs`, which keeps its notes off standard output.
const { default: Provider } = await import('oidc-provider');

const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const CALLBACK = 'http://127.0.0.1/callback';
/** Resources that tokens can be asked for: this engine and another system, with JWTs and with opaque tokens. */
const RESOURCES = {
  'urn:sqe': { audience: 'sqe', accessTokenFormat: 'jwt' },
  'urn:sqe:opaque': { audience: 'sqe', accessTokenFormat: 'opaque' },
  'urn:other': { audience: 'other', accessTokenFormat: 'jwt' },
  'urn:other:opaque': { audience: 'other', accessTokenFormat: 'opaque' },
};
const SCOPES = 'sql:read sql:write';

const groups = { alice: ['analysts'], bob: ['finance'], mallory: [], job: ['loaders'], 'job:nightly/1': [] };
const audiences = { sqe: ['*'], catalog: ['*'], storage: ['*'], ledger: ['bob'] };
let lifetime = 300;
let skew = 0;
let logoutReceiver;

const realNow = Date.now;
Date.now = () => realNow() + skew * 1000;

const clients = () => {
  // Without somebody to tell, tokens have no session (`sid`).
  const told = { backchannel_logout_uri: logoutReceiver ?? `${issuer}/nobody`, backchannel_logout_session_required: true };
  const native = { application_type: 'native', response_types: ['code'], redirect_uris: [CALLBACK, 'http://localhost/callback', 'http://[::1]/callback'] };
  const machine = { response_types: [], redirect_uris: [], grant_types: ['client_credentials'] };
  return [
    { client_id: 'cli', token_endpoint_auth_method: 'none', grant_types: ['authorization_code', 'refresh_token', DEVICE], ...native, ...told },
    { client_id: 'dashboard', client_secret: 'dashboard-secret', grant_types: ['authorization_code', 'refresh_token'], ...native, ...told },
    { client_id: 'sqe', client_secret: 'sqe-secret', ...machine, grant_types: [exchange.GRANT] },
    { client_id: 'gateway', client_secret: 'gateway-secret', ...machine, grant_types: [exchange.GRANT, 'client_credentials'] },
    { client_id: 'job', client_secret: 'job-secret', ...machine },
    // Characters that RFC 6749, 2.3.1 has escaped.
    { client_id: 'job:nightly/1', client_secret: 'a+b %:~', ...machine },
  ];
};

const newKey = async () => {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: randomUUID(), use: 'sig', alg: 'RS256' };
};

const build = (keys) => {
  const provider = new Provider(issuer, {
    adapter: Storage,
    jwks: { keys },
    cookies: { keys: ['for tests only'] },
    // The provider's own dispatcher refuses loopback, where all that a test has is.
    fetch: (url, { dispatcher: _, ...options } = {}) => fetch(url, options),
    clients: clients(),
    clientDefaults: { id_token_signed_response_alg: 'RS256' },
    pkce: { required: () => true },
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    findAccount: (_ctx, id) => (id in groups ? { accountId: id, claims: () => ({ sub: id, ...person(id) }) } : undefined),
    extraTokenClaims: (_ctx, token) => ({
      ...(token.extra ?? {}),
      ...person(token.accountId ?? token.clientId),
      ...(token.sid ? { sid: token.sid } : {}),
    }),
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      backchannelLogout: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:sqe',
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource) => ({
          ...RESOURCES[resource],
          scope: SCOPES,
          accessTokenTTL: lifetime,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  const published = keys.map(({ kty, kid, use, alg, n, e }) => ({ kty, kid, use, alg, n, e }));
  exchange.add(provider, { keys: () => ({ keys: published }), audiences, lifetime: () => lifetime });
  provider.on('server_error', (_ctx, error) => console.error(error));
  provider.on('backchannel.error', (_ctx, error) => console.error(error));
  return { keys, answer: provider.callback() };
};

const person = (id) => ({ groups: groups[id] ?? [], preferred_username: id });

let current;
const faults = new Faults((request, response) => current.answer(request, response));
const server = createServer((request, response) => faults.handle(request, response));
const listen = (port) => new Promise((resolve, reject) => {
  server.once('error', reject).listen(port, '127.0.0.1', resolve);
});
await listen(0);
const { port } = server.address();
const issuer = `http://127.0.0.1:${port}`;
current = build([await newKey()]);

const browsers = new Map();
const browser = (user) => {
  if (!browsers.has(user)) browsers.set(user, new Browser(user, issuer));
  return browsers.get(user);
};

/** A token request of `client`, which authenticates if it has a secret. */
const token = (client, form) => {
  const secret = clients().find(({ client_id: id }) => id === client).client_secret;
  return post('/token', secret ? form : { ...form, client_id: client }, secret && `${client}:${secret}`);
};

const post = async (path, form, secret) => {
  const headers = secret ? { authorization: `Basic ${Buffer.from(secret).toString('base64')}` } : {};
  const response = await fetch(`${issuer}${path}`, { method: 'POST', headers, body: new URLSearchParams(form) });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${path} answers ${response.status} ${JSON.stringify(answer)}`);
  return answer;
};

serve({ issuer }, {
  /** Authorization code with PKCE (RFC 7636), as `user` at a browser. */
  async login({ user, client = 'cli', scope = `openid ${SCOPES}`, resource = 'urn:sqe' }) {
    const verifier = randomBytes(32).toString('base64url');
    const challenge = createHash('sha256').update(verifier).digest('base64url');
    const state = randomUUID();
    const query = new URLSearchParams({
      client_id: client, response_type: 'code', redirect_uri: CALLBACK, scope, resource, state, prompt: 'consent',
      code_challenge: challenge, code_challenge_method: 'S256',
    });
    const { url, text } = await browser(user).visit(`${issuer}/auth?${query}`, { follow: false });
    const answer = new URL(url).searchParams;
    if (!answer.has('code') || answer.get('state') !== state) throw new Error(`no code at ${url} ${text ?? ''}`);
    const code = answer.get('code');
    return await token(client, { grant_type: 'authorization_code', code, redirect_uri: CALLBACK, code_verifier: verifier, resource });
  },
  /** Uses a refresh token (RFC 6749, 6). */
  refresh: ({ token: refresh, client = 'cli' }) => token(client, { grant_type: 'refresh_token', refresh_token: refresh }),
  /** Opens any address of the provider as `user`: that which a program shows to its user. */
  browse: ({ user, url, ...how }) => browser(user).visit(url, how),
  /** Logs `user` out at the provider, which tells the applications of that log-in. */
  async logout({ user }) {
    await browser(user).visit(`${issuer}/session/end`);
    browsers.delete(user);
  },
  /** Signs with a new key from now on; the old ones stay published if `keep`. */
  async rotate({ keep }) {
    current = build([await newKey(), ...(keep ? current.keys : [])]);
    return current.keys[0].kid;
  },
  fault: (wish) => faults.set(wish),
  counts: () => faults.counts(),
  /** Ends all connections and accepts no others. */
  down: () => new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  }),
  up: () => listen(port),
  groups({ user, groups: names }) {
    groups[user] = names;
  },
  lifetime({ seconds }) {
    lifetime = seconds;
  },
  /** How far the provider's clock is ahead, in seconds. */
  clock({ ahead }) {
    skew = ahead;
  },
  /** Revokes all tokens and log-ins of a person. */
  revoke: ({ user }) => revoke((payload, kind) => kind !== 'Client' && payload.accountId === user),
  /** Where back-channel log-outs (OpenID Connect Back-Channel Logout 1.0) of all applications go. */
  logout_receiver({ url }) {
    logoutReceiver = url;
    current = build(current.keys);
  },
});
