const { createHash } = require('node:crypto');
const { readFileSync, writeFileSync } = require('node:fs');
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
  const kept = isObserved() ? undefined : readCompiled(file);
  return kept ? runBundle(file, kept).exports : require(file);
}

/** A debugger, or who measures coverage, knows the file by its path; of what was compiled V8 may keep another name. */
function isObserved() {
  const options = [process.env.NODE_OPTIONS, ...process.execArgv].join(' ');
  return options.includes('--inspect') || Boolean(process.env.NODE_V8_COVERAGE);
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
  return { exports: module.exports, script, text };
}

/** What a script of `node:vm` cannot do itself: Node calls that experimental, and says so. The build puts it there. */
function importModule(name) {
  return import(name);
}

/**
 * Keeps what V8 has compiled of the file so far, for `loadBundle`.
 *
 * @param {string} file
 * @param {{ script: Script, text: Buffer }} bundle which `runBundle` gave for it
 */
function saveCompiled(file, { script, text }) {
  const compiled = script.createCachedData();
  writeFileSync(compiledPath(file), Buffer.concat([checksum(text, compiled), compiled]));
}

/**
 * What `saveCompiled` kept of the file, with its text; undefined where there is nothing that can be read, or it is
 * damaged, or of another text. V8 itself looks at the length of the text alone.
 *
 * @param {string} file
 * @returns {{ text: Buffer, compiled: Buffer } | undefined}
 */
function readCompiled(file) {
  let content;
  try {
    content = readFileSync(compiledPath(file));
  } catch {
    return undefined;
  }
  const text = readFileSync(file);
  const compiled = content.subarray(checksumBytes);
  const isWhole = checksum(text, compiled).equals(content.subarray(0, checksumBytes));
  return isWhole ? { text, compiled } : undefined;
}

const checksumBytes = 32;

function checksum(text, compiled) {
  return createHash('sha256').update(text).update(compiled).digest();
}

/** What V8 makes of a script depends on its release, and on the processor. */
function compiledPath(file) {
  return `${file}.${process.version}-${process.arch}.v8`;
}

module.exports = { importModule, loadBundle, readCompiled, runBundle, saveCompiled };
