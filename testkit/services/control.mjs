// How a test talks to a service that it started: one JSON command a line on standard input, one JSON answer a line on
// standard output, the first of which says that the service is ready. The service ends when its standard input does, so
// that none outlives its test.

import { createInterface } from 'node:readline';

// Packages write notes with these, and standard output is for answers.
console.log = console.info = console.debug = (...words) => console.error(...words);

function say(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

/** Says that the service is ready, and then runs `commands[name](arguments)` for each line `{"do": name, …}`. */
export function serve(ready, commands) {
  say({ ok: ready });
  const lines = createInterface({ input: process.stdin });
  let before = Promise.resolve();
  lines.on('line', (line) => {
    before = before.then(async () => {
      try {
        const { do: name, ...rest } = JSON.parse(line);
        if (!Object.hasOwn(commands, name)) throw new Error(`there is no command ${name}`);
        say({ ok: (await commands[name](rest)) ?? null });
      } catch (error) {
        say({ error: `${error.message}${error.cause ? `: ${error.cause.message}` : ''}` });
      }
    });
  });
  lines.on('close', () => process.exit(0));
}
