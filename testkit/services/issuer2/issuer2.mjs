// A second issuer on loopback, of another make: `oauth2-mock-server`. It signs whatever it is told to.

import { serve } from '../control.mjs';

const { OAuth2Server } = await import('oauth2-mock-server');

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
await server.start(0, '127.0.0.1');
server.issuer.url = `http://127.0.0.1:${server.address().port}`;

serve({ issuer: server.issuer.url }, {
  /** A token with these header parameters and claims over its own; `null` takes one away. */
  sign: ({ header = {}, claims = {} }) => server.issuer.buildToken({
    scopesOrTransform(ownHeader, ownClaims) {
      change(ownHeader, header);
      change(ownClaims, claims);
    },
  }),
});

function change(object, members) {
  for (const [name, value] of Object.entries(members)) {
    if (value === null) delete object[name];
    else object[name] = value;
  }
}
