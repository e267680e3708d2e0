const { createHash } = require('node:crypto');
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
const { createRequire, wrap } = require('node:module');
const { dirname } = require('node:path');
const { Script } = require('node:vm');

/**
 * Loads a CommonJS file as `require` does, from what V8 compiled of it at the build where this is the same release
 * of Node on the same kind of processor: compiling takes longer than a run with nothing to do.
 *
 * @param {string} file
 * @returns {any} what it exports
 */
function loadBundle(file) {
  const path = compiledPath(file);
  if (!existsSync(path)) return require(file);
  const text = readFileSync(file);
  return runBundle(file, { text, compiled: readCompiled(path, text) }).exports;
}

/**
 * Runs the file as a module of its own. V8 compiles what `compiled` does not hold, and all of it when it refuses
 * `compiled`, as it does where it runs with other flags. Stack traces call the file `name`; in Node 20 they keep
 * the name by which it was compiled.
 *
 * @param {string} file
 * @param {{ text?: Buffer, compiled?: Buffer, name?: string }} [options]
 */
function runBundle(file, { text = readFileSync(file), compiled, name = file } = {}) {
  const head = wrap('').indexOf('\n');
  const script = new Script(wrap(text.toString()), {
    filename: name,
    columnOffset: -head,
    cachedData: compiled,
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(file), module, file, dirname(file));
  return { exports: module.exports, script };
}

/** What a script of `node:vm` cannot do itself: Node calls that experimental, and says so. The build puts it there. */
function importModule(name) {
  return import(name);
}

/**
 * Keeps what V8 has compiled of the file so far, for `loadBundle`.
 *
 * @param {string} file
 * @param {Script} script which `runBundle` gave for it
 */
function saveCompiled(file, script) {
  const compiled = script.createCachedData();
  const key = checksum(readFileSync(file), compiled);
  writeFileSync(compiledPath(file), Buffer.concat([key, compiled]));
}

/** undefined where it is damaged, or of another text: V8 looks at the length of the text alone. */
function readCompiled(path, text) {
  const content = readFileSync(path);
  const compiled = content.subarray(checksumBytes);
  const isWhole = checksum(text, compiled).equals(content.subarray(0, checksumBytes));
  return isWhole ? compiled : undefined;
}

const checksumBytes = 32;

function checksum(text, compiled) {
  return createHash('sha256').update(text).update(compiled).digest();
}

/** What V8 makes of a script depends on its release, and on the processor. */
function compiledPath(file) {
  return `${file}.${process.version}-${process.arch}.v8`;
}

module.exports = { compiledPath, importModule, loadBundle, readCompiled, runBundle, saveCompiled };
