// Token exchange (RFC 8693) for the provider, which has none of its own: delegation, so that the new token still names
// the person, and `act` says who acts.

import { createLocalJWKSet, jwtVerify } from 'jose';

export const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const TYPES = new Set([ACCESS_TOKEN, JWT]);
const PARAMETERS = [
  'audience', 'resource', 'scope', 'requested_token_type',
  'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type',
];

class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/**
 * Adds the grant to `provider`. `keys()` gives its public keys, `audiences` maps an audience to the people who get tokens
 * for it (`*`: all), `lifetime()` gives the seconds that new tokens live.
 */
export function add(provider, { keys, audiences, lifetime }) {
  const read = async (token, type) => {
    if (!TYPES.has(type)) throw new Refused('invalid_request', `no tokens of type ${type} are exchanged`);
    try {
      return (await jwtVerify(token, createLocalJWKSet(keys()), { issuer: provider.issuer, typ: 'at+jwt' })).payload;
    } catch (error) {
      const opaque = await provider.AccessToken.find(token);
      if (!opaque?.isValid) throw new Refused('invalid_grant', error.message);
      return { sub: opaque.accountId, scope: opaque.scope, sid: opaque.sid, ...opaque.extra };
    }
  };
  const exchange = async ({ client, params }) => {
    const subject = await read(params.subject_token ?? '', params.subject_token_type);
    const actor = params.actor_token ? await read(params.actor_token, params.actor_token_type) : undefined;
    const audience = params.audience ?? params.resource;
    const people = audiences[audience];
    if (!people) throw new Refused('invalid_target', `there is no audience ${audience}`);
    if (!people.includes('*') && !people.includes(subject.sub)) {
      throw new Refused('invalid_target', `${subject.sub} gets no token for ${audience}`);
    }
    if (params.requested_token_type && !TYPES.has(params.requested_token_type)) {
      throw new Refused('invalid_request', `no tokens of type ${params.requested_token_type} are issued`);
    }
    const held = new Set((subject.scope ?? '').split(' '));
    const wanted = (params.scope ?? '').split(' ').filter(Boolean);
    if (!wanted.every((scope) => held.has(scope))) throw new Refused('invalid_scope', 'the subject token has less');
    const act = { sub: actor?.sub ?? client.clientId, ...(subject.act ? { act: subject.act } : {}) };
    const token = new provider.AccessToken({
      accountId: subject.sub,
      client,
      scope: wanted.join(' ') || subject.scope,
      sid: subject.sid,
      gty: 'token_exchange',
      extra: { act },
    });
    token.resourceServer = new provider.ResourceServer(audience, {
      scope: subject.scope ?? '',
      audience,
      accessTokenTTL: lifetime(),
      accessTokenFormat: 'jwt',
      jwt: { sign: { alg: 'RS256' } },
    });
    return {
      access_token: await token.save(),
      issued_token_type: ACCESS_TOKEN,
      token_type: 'Bearer',
      expires_in: token.expiration,
      scope: token.scope,
    };
  };
  provider.registerGrantType(GRANT, async (ctx) => {
    try {
      ctx.body = await exchange(ctx.oidc);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      ctx.status = 400;
      ctx.body = { error: error.code, error_description: error.message };
    }
  }, PARAMETERS);
}
