#!/usr/bin/env node
// CommonJS, as ./package.json says: Node starts it faster than an ECMAScript module.

const { existsSync } = require('node:fs');
const { join } = require('node:path');

const [flag, ...rest] = process.argv.slice(2);

if (flag === '--version' && rest.length === 0) {
  // Answered here: loading the whole program takes about as long as starting Node.
  process.stdout.write(`${require('../package.json').version}\n`);
} else if (!existsSync(join(__dirname, '../dist/cli.cjs'))) {
  process.stderr.write('cryptosense-db is not built; run: npm run build\n');
  process.exitCode = 2;
} else {
  const wantsEngine = [...rest, process.env.DATABASE_URL ?? ''].some((word) =>
    /embedded/.test(word),
  );
  if (!wantsEngine) leaveWebAssemblyAsItIs();
  require('../dist/cli.cjs').main(process.argv);
}

/**
 * Only the SQL parser is WebAssembly then, one huge function that V8 would optimise for several
 * times the processor time that parsing a whole schema takes. The embedded engine needs that.
 */
function leaveWebAssemblyAsItIs() {
  const { setFlagsFromString } = require('node:v8');
  for (const v8Flag of ['--liftoff-only', '--no-wasm-tier-up', '--no-wasm-dynamic-tiering']) {
    setFlagsFromString(v8Flag);
  }
}
