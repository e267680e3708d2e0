#!/usr/bin/env node
// @ts-check
// CommonJS, as ./package.json says: Node starts it faster than an ECMAScript module.

const { existsSync } = require('node:fs');
const { join } = require('node:path');

const [flag, ...rest] = process.argv.slice(2);
const program = join(__dirname, '../dist/cli.cjs');

if (flag === '--version' && rest.length === 0) {
  // Answered here: loading the whole program takes about as long as starting Node.
  process.stdout.on('error', ({ code, message }) => {
    if (code === 'EPIPE') return;
    process.stderr.write(`standard output cannot be written\n  ${message}\n`);
    process.exitCode = 2;
  });
  process.stdout.write(`${require('../package.json').version}\n`);
} else if (existsSync(program)) {
  require('./compile-cache.js').useCompileCache(process.env);
  require(program).main(process.argv);
} else {
  process.stderr.write('cryptosense-db is not built; run: npm run build\n');
  process.exitCode = 2;
}
