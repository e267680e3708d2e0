// Run by the build, in a process of its own: `node keep-compiled.cjs BUNDLE`. Applies the schema to the embedded
// engine with the program that was built, and keeps what V8 compiled of it on the way.

const { mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join, resolve } = require('node:path');
const { runBundle, saveCompiled } = require('./bin/bundle.js');

async function keepCompiled(name) {
  const file = resolve(name);
  const folder = mkdtempSync(join(tmpdir(), 'cryptosense-db-build-'));
  try {
    // The name is kept with it; that of this folder is of use to nobody.
    const bundle = runBundle(file, { name: `cryptosense-db/${name}` });
    const url = `embedded:${join(folder, 'database')}`;
    await bundle.exports.main([
      process.execPath,
      'cryptosense-db',
      ...['migrate', 'up', '--quiet', '--url', url],
    ]);
    // It has said what was wrong, and set the exit code.
    if (process.exitCode === undefined) saveCompiled(file, bundle);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

keepCompiled(process.argv[2]);
