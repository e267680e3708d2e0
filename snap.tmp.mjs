var __getOwnPropNames = Object.getOwnPropertyNames;
var __esm = (fn, res) => function __init() {
  return fn && (res = (0, fn[__getOwnPropNames(fn)[0]])(fn = 0)), res;
};

// src/runtime/excerpt.ts
var init_excerpt = __esm({
  "src/runtime/excerpt.ts"() {
    "use strict";
  }
});

// src/runtime/findings.ts
var init_findings = __esm({
  "src/runtime/findings.ts"() {
    "use strict";
    init_excerpt();
  }
});

// src/runtime/errors.ts
function messageOf(error) {
  if (error instanceof AggregateError) {
    return [...new Set(error.errors.map(messageOf))].join(", ");
  }
  if (typeof error === "object" && error !== null && "message" in error) return `${error.message}`;
  return String(error);
}
var init_errors = __esm({
  "src/runtime/errors.ts"() {
    "use strict";
    init_findings();
  }
});

// src/runtime/retry.ts
var init_retry = __esm({
  "src/runtime/retry.ts"() {
    "use strict";
  }
});

// src/runtime/files.ts
var init_files = __esm({
  "src/runtime/files.ts"() {
    "use strict";
    init_errors();
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
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
var packageRoot = findRoot(dirname(fileURLToPath(import.meta.url)));
function findRoot(folder) {
  return existsSync(join(folder, "package.json")) ? folder : findRoot(dirname(folder));
}
function packagePath(name) {
  return join(packageRoot, name);
}
var packagedMigrations = packagePath("migrations");
var packagedRollbacks = packagePath("rollbacks");
var packagedTemplates = packagePath("templates");
var packagedSeeds = packagePath("dist/seeds");
var packagedSnapshot = packagePath("seeds/production/snapshot.json");

// src/sql/location.ts
function indexOfCharacter(text2, position) {
  let index = 0;
  for (let count = 0; count < position && index < text2.length; count += 1) {
    index += (text2.codePointAt(index) ?? 0) > 65535 ? 2 : 1;
  }
  return index;
}

// src/sql/trivia.ts
var blank = /[ \t\n\r\f\v]+/y;
var lineComment = /--[^\n]*/y;
function skipTrivia(text2, from, onLineComment) {
  let index = from;
  for (; ; ) {
    blank.lastIndex = index;
    lineComment.lastIndex = index;
    if (blank.test(text2)) index = blank.lastIndex;
    else if (lineComment.test(text2)) {
      onLineComment?.(text2.slice(index, lineComment.lastIndex), index);
      index = lineComment.lastIndex;
    } else if (text2.startsWith("/*", index)) index = skipBlockComment(text2, index);
    else return index;
  }
}
function endOfText(text2) {
  let end = text2.length;
  while (end > 0 && " 	\n\r\f\v".includes(text2.charAt(end - 1))) end -= 1;
  return end;
}
function skipBlockComment(text2, from) {
  let depth = 0;
  let index = from;
  do {
    if (text2.startsWith("/*", index)) {
      depth += 1;
      index += 2;
    } else if (text2.startsWith("*/", index)) {
      depth -= 1;
      index += 2;
    } else index += 1;
  } while (depth > 0 && index < text2.length);
  return index;
}

// src/sql/spans.ts
function* statementSpans(text2, { pieceLength: pieceLength2 = Number.POSITIVE_INFINITY, onLineComment } = {}) {
  for (let from = 0; from < text2.length; ) {
    const span = spanFrom(text2, from, { pieceLength: pieceLength2, onLineComment });
    yield span;
    from = span.to + 1;
  }
}
function spanFrom(text2, from, { pieceLength: pieceLength2 = Number.POSITIVE_INFINITY, onLineComment }) {
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
  for (let start = skipTrivia(text2, from, between); start < text2.length; ) {
    const end = endOfToken(text2, start);
    const first = text2.charAt(start);
    if (first === ";" && depth === 0 && atomicDepth === 0) {
      closeList();
      return { from, to: start, omissions };
    }
    if (list && depth === list.depth && first !== "(" && first !== ",") closeList();
    if (first === "(") {
      if (isAfterValues && !list) list = openList(depth);
      const isRow = list?.depth === depth;
      const plainEnd = isRow && list?.firstEnd ? endOfMatch(plainRow, text2, start) : void 0;
      if (list && plainEnd !== void 0) {
        list.lastEnd = plainEnd;
        start = skipTrivia(text2, plainEnd, inside);
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
    } else if (first === "'" && end - start > pieceLength2 && endOfQuoted(text2, start + 1, first) === end) {
      omissions = [...omissions, { from: start + 1, to: end - 1, rows: [] }];
    }
    const word2 = end - start <= longestKeyword ? text2.slice(start, end).toLowerCase() : "";
    isAfterValues = word2 === "values";
    if (words.length < 4) words.push(word2);
    if (definesRoutine(words)) atomicDepth = atomicDepthAfter(word2, atomicDepth);
    start = skipTrivia(text2, end, inside);
  }
  closeList();
  return { from, to: text2.length, omissions };
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
function endOfToken(text2, start) {
  const first = text2.charAt(start);
  if (first === "'" || first === '"') return endOfQuoted(text2, start + 1, first) ?? text2.length;
  const wordEnd = endOfMatch(word, text2, start);
  if (wordEnd !== void 0) {
    const isEscaping = wordEnd === start + 1 && /e/i.test(first) && text2[wordEnd] === "'";
    return isEscaping ? endOfEscaped(text2, wordEnd + 1) : wordEnd;
  }
  const tagEnd = first === "$" ? endOfMatch(dollarQuote, text2, start) : void 0;
  if (tagEnd !== void 0) {
    const close = text2.indexOf(text2.slice(start, tagEnd), tagEnd);
    return close < 0 ? text2.length : close + tagEnd - start;
  }
  return endOfMatch(number, text2, start) ?? start + 1;
}
function endOfMatch(pattern, text2, start) {
  pattern.lastIndex = start;
  return pattern.test(text2) ? pattern.lastIndex : void 0;
}
function endOfQuoted(text2, from, quote) {
  for (let at = text2.indexOf(quote, from); at >= 0; at = text2.indexOf(quote, at + 2)) {
    if (text2[at + 1] !== quote) return at + 1;
  }
  return void 0;
}
function endOfEscaped(text2, from) {
  for (let at = from; at < text2.length; at += 1) {
    if (text2[at] === "\\") at += 1;
    else if (text2[at] === "'" && text2[at + 1] === "'") at += 1;
    else if (text2[at] === "'") return at + 1;
  }
  return text2.length;
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
  return { version, parse: (text2) => parseText(library, text2) };
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
function parseText(library, text2) {
  if (text2.length < 2 * pieceLength) return parsePiece(library, text2);
  const statements = [];
  for (const { from, to, omissions } of piecesOf(text2)) {
    const result = parseReduced(library, text2.slice(from, to), shifted(omissions, -from));
    if (result.fault) return { fault: { ...result.fault, index: result.fault.index + from } };
    for (const statement of result.statements) {
      statements.push({ ...statement, index: statement.index + from });
    }
  }
  return { statements };
}
function* piecesOf(text2) {
  let piece;
  for (const span of statementSpans(text2, { pieceLength })) {
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
function parseReduced(library, text2, omissions) {
  if (omissions.length === 0) return parsePiece(library, text2);
  let reduced = "";
  let copied = 0;
  for (const { from, to } of omissions) {
    reduced += text2.slice(copied, from);
    copied = to;
  }
  reduced += text2.slice(copied);
  const { statements, fault } = parsePiece(library, reduced);
  const original = (index) => omissions.reduce((at, { from, to }) => at >= from ? at + to - from : at, index);
  const faults = fault ? [{ ...fault, index: original(fault.index) }] : [];
  for (const { from, to } of omissions.flatMap(({ rows }) => rows)) {
    if (faults[0] && faults[0].index < from) break;
    const { fault: found } = parseText(library, `values ${text2.slice(from, to)}`);
    if (!found) continue;
    faults.unshift({ ...found, index: found.index - "values ".length + from });
    break;
  }
  const [first] = faults;
  if (first) return { fault: first };
  return {
    statements: (statements ?? []).map(({ index, text: { length }, node }) => {
      const start = original(index);
      return { index: start, text: text2.slice(start, original(index + length)), node };
    })
  };
}
function parsePiece(library, text2) {
  if (text2.trim() === "") return { statements: [] };
  const { exitCode } = process;
  let tree;
  try {
    tree = library.parseSync(text2);
  } catch (error) {
    process.exitCode = exitCode;
    return { fault: faultOf(error, text2) };
  }
  return { statements: statementsOf(text2, nodes(asNode(tree).stmts)) };
}
function statementsOf(text2, raws) {
  const bytes = Buffer.from(text2, "utf8");
  const isAscii = bytes.length === text2.length;
  let byteAt = 0;
  let indexAt = 0;
  return raws.map((raw) => {
    const from = Number(raw.stmt_location ?? 0);
    const length = Number(raw.stmt_len ?? bytes.length - from);
    indexAt += isAscii ? from - byteAt : bytes.toString("utf8", byteAt, from).length;
    byteAt = from;
    const whole = isAscii ? text2.slice(from, from + length) : bytes.toString("utf8", from, from + length);
    const start = skipTrivia(whole, 0);
    return {
      text: whole.slice(start, endOfText(whole)),
      index: indexAt + start,
      node: typed(raw.stmt)
    };
  });
}
function faultOf(error, text2) {
  const { sqlDetails } = asNode(error);
  if (sqlDetails !== void 0 && messageOf(error) !== "out of memory") {
    const position = Number(asNode(sqlDetails).cursorPosition ?? 0);
    return { kind: "syntax", index: indexOfCharacter(text2, position), reason: messageOf(error) };
  }
  discardLibrary();
  const index = skipTrivia(text2, 0);
  if (text2.length > pieceLength && !(error instanceof RangeError)) {
    return { kind: "too-large", index, bytes: Buffer.byteLength(text2) };
  }
  return { kind: "syntax", index, reason: "the statement is nested too deeply for the parser" };
}

// src/database/connection.ts
init_errors();

// src/database/client.ts
init_errors();
init_retry();
import postgres from "postgres";

// src/runtime/child-process.ts
var mostOutput = 64 * 1024;
var mostErrorText = 16 * 1024;

// src/database/password.ts
init_errors();

// src/database/target.ts
init_errors();

// src/runtime/whole-numbers.ts
init_errors();
function parseWhole(text2, { from, to }) {
  const value = /^\d+$/.test(text2) ? Number(text2) : Number.NaN;
  return value >= from && value <= to ? value : void 0;
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

// src/database/refusals.ts
init_errors();

// src/database/server-words.ts
var opening = '"\u201C\u201E\xAB\xBB\u300C\u300E\u2039\u203A';
var closing = '"\u201D\u201C\xBB\xAB\u300D\u300F\u203A\u2039';
var fromFirstToLast = new RegExp(`[${opening}]([\\s\\S]*)[${closing}]`);
var eachQuoted = new RegExp(`[${opening}]([^${closing}]*)[${closing}]`, "g");

// src/database/socket.ts
init_errors();

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
var longestMessage = 2 ** 30;

// src/database/tls.ts
init_errors();
init_files();

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

// src/database/client.ts
var timescaleHold = "timescaledb.disable_load";
var releaseTimescale = `set ${timescaleHold} = off`;

// src/database/connection.ts
async function withTransaction(sql2, work) {
  return withRollback(sql2, async () => {
    await sql2.unsafe("begin");
    const result = await work();
    await sql2.unsafe("commit");
    return result;
  });
}
async function withRollback(sql2, work) {
  try {
    return await work();
  } catch (error) {
    await sql2.unsafe("rollback").catch(() => {
    });
    throw error;
  }
}

// src/schema/catalog.ts
async function withCatalog(sql2, read) {
  return withTransaction(sql2, async () => {
    await sql2.unsafe(`
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
function normalizeExpression(text2) {
  const { out } = rewriteArrays(text2, 0, void 0);
  return out;
}
function normalizeQuery(text2, parse) {
  const query = text2.trim().replace(/;$/, "");
  return normalizeExpression(withoutQualifiers(query, parse));
}
var castToArray = /^::((?:[a-z_][\w$]*|"(?:[^"]|"")+")(?:\.(?:[a-z_][\w$]*|"(?:[^"]|"")+"))?(?: [a-z]+)*(?:\(\d+(?:,\d+)?\))?)\[\]/;
var simpleElement = /^(?:'(?:[^']|'')*'|[\w$."]+(?:\([^()]*\))?|\(.*\))(?:::[\w$. "]+(?:\([\d,]+\))?)*$/s;
function rewriteArrays(text2, start, end) {
  let out = "";
  let depth = 0;
  const elements = [];
  let at = start;
  while (at < text2.length) {
    const character = text2[at] ?? "";
    if (character === "'" || character === '"') {
      const literal2 = quotedFrom(text2, at);
      out += literal2;
      at += literal2.length;
    } else if (text2.startsWith("ARRAY[", at) && !/[\w$]/.test(text2[at - 1] ?? "")) {
      const inner = rewriteArrays(text2, at + "ARRAY[".length, "]");
      at = inner.at;
      const [cast, type] = castToArray.exec(text2.slice(at)) ?? [];
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
function quotedFrom(text2, start) {
  const quote = text2[start] ?? "";
  let at = start + 1;
  while (at < text2.length) {
    if (text2[at] === quote) {
      if (text2[at + 1] !== quote) return text2.slice(start, at + 1);
      at += 1;
    }
    at += 1;
  }
  return text2.slice(start);
}
function withoutQualifiers(query, parse) {
  const { statements } = parse(query);
  const [statement] = statements ?? [];
  if (statement?.node.type !== "SelectStmt") return query;
  const select = statement.node.body;
  const [from, ...others] = nodes(select.fromClause);
  if (!from || others.length > 0 || select.op !== "SETOP_NONE") return query;
  const name = nameOf(from);
  if (name === void 0) return query;
  const bytes = Buffer.from(query);
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
  const text2 = bytes.subarray(location).toString();
  const name = text2.startsWith('"') ? quotedFrom(text2, 0) : /^[^.]*/.exec(text2)?.[0] ?? "";
  return `${name}.`;
}

// src/schema/snapshot/own.ts
function isOwnSchema(sql2) {
  return sql2`n.nspname not in (
      'information_schema', 'cryptosense_db', 'timescaledb_information', 'timescaledb_experimental'
    ) and n.nspname not like 'pg\\_%' and n.nspname not like '\\_timescaledb\\_%'`;
}
function isNoMember(sql2, { catalog, oid }) {
  return sql2`not exists (
    select from pg_depend
    where classid = ${catalog}::text::regclass and objid = ${sql2(oid)} and deptype = 'e'
  )`;
}
function isNoChunk(sql2, isTimescale) {
  return isTimescale ? sql2`not exists (
        select from _timescaledb_catalog.chunk where schema_name = n.nspname and table_name = c.relname
      )` : sql2`true`;
}
async function hasTimescale(sql2) {
  const [{ isThere }] = await sql2`
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
async function readParts(sql2, { oids }) {
  const wanted = JSON.stringify(oids);
  const found = /* @__PURE__ */ new Map();
  const add = (relation, part) => {
    const known = found.get(relation);
    if (known) known.push(part);
    else found.set(relation, [part]);
  };
  for (const [relation, part] of [
    ...await readColumns(sql2, wanted),
    ...await readConstraints(sql2, wanted),
    ...await readIndexes(sql2, wanted),
    ...await readTriggers(sql2, wanted),
    ...await readRules(sql2, wanted),
    ...await readPolicies(sql2, wanted),
    ...await readStatistics(sql2, wanted)
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
function among(sql2, oid, wanted) {
  return sql2`${sql2(oid)} in (select value::oid from json_array_elements_text(${wanted}::text::json))`;
}
async function readColumns(sql2, wanted) {
  const rows = await sql2`
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
      (select array_agg(o order by o collate "C") from unnest(a.attoptions) as o) as options,
      not a.attislocal as "isInherited",
      col_description(a.attrelid, a.attnum) as comment
    from pg_attribute a
      join pg_class c on c.oid = a.attrelid
      join pg_type t on t.oid = a.atttypid
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped and ${among(sql2, "a.attrelid", wanted)}
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
async function readConstraints(sql2, wanted) {
  const rows = await sql2`
    select k.conrelid::int8::float8 as relation, quote_ident(k.conname) as name,
      pg_get_constraintdef(k.oid, true) as definition, not k.conislocal as "isInherited",
      obj_description(k.oid, 'pg_constraint') as comment
    from pg_constraint k
    where k.contype in ('p', 'u', 'x', 'c', 'f') and ${among(sql2, "k.conrelid", wanted)}`;
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
async function readIndexes(sql2, wanted) {
  const rows = await sql2`
    select * from (
      select x.indrelid::int8::float8 as relation, quote_ident(i.relname) as name,
        case when k.oid is null then pg_get_indexdef(x.indexrelid, 0, true) end as definition,
        not x.indisvalid as "isInvalid", x.indisclustered as "isClustered",
        obj_description(x.indexrelid, 'pg_class') as comment
      from pg_index x join pg_class i on i.oid = x.indexrelid
        left join pg_constraint k on k.conindid = x.indexrelid and k.contype in ('p', 'u', 'x')
      where ${among(sql2, "x.indrelid", wanted)}
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
async function readTriggers(sql2, wanted) {
  const rows = await sql2`
    select t.tgrelid::int8::float8 as relation, quote_ident(t.tgname) as name,
      pg_get_triggerdef(t.oid, true) as definition,
      case t.tgenabled when 'D' then 'disabled' when 'R' then 'on replicas' when 'A' then 'always' end as firing,
      obj_description(t.oid, 'pg_trigger') as comment
    from pg_trigger t
    where not t.tgisinternal and ${among(sql2, "t.tgrelid", wanted)}
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
async function readRules(sql2, wanted) {
  const rows = await sql2`
    select r.ev_class::int8::float8 as relation, quote_ident(r.rulename) as name,
      pg_get_ruledef(r.oid, true) as definition,
      case r.ev_enabled when 'D' then 'disabled' when 'R' then 'on replicas' when 'A' then 'always' end as firing,
      obj_description(r.oid, 'pg_rewrite') as comment
    from pg_rewrite r
    where r.rulename <> '_RETURN' and ${among(sql2, "r.ev_class", wanted)}`;
  return rows.map(({ relation, name, definition, firing, comment }) => [
    relation,
    { kind: "rule", name, facts: factsOf({ definition, firing, comment }) }
  ]);
}
async function readPolicies(sql2, wanted) {
  const rows = await sql2`
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
    from pg_policy p where ${among(sql2, "p.polrelid", wanted)}`;
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
async function readStatistics(sql2, wanted) {
  const rows = await sql2`
    select s.stxrelid::int8::float8 as relation, quote_ident(s.stxname) as name,
      pg_get_statisticsobjdef(s.oid) as definition, obj_description(s.oid, 'pg_statistic_ext') as comment
    from pg_statistic_ext s where ${among(sql2, "s.stxrelid", wanted)}`;
  return rows.map(({ relation, name, definition, comment }) => [
    relation,
    { kind: "statistics", name, facts: factsOf({ definition, comment }) }
  ]);
}

// src/schema/snapshot/relations.ts
async function readRelations(sql2, {
  grants,
  timescale,
  parse
}) {
  const rows = await sql2`
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
          select ${grantText(sql2)} as g from aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) as a
          union all
          select format('%s (%I)', ${grantText(sql2)}, attname)
          from pg_attribute, aclexplode(attacl) as a where attrelid = c.oid and not attisdropped
        ) as granted
      ) end as grants
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
      left join pg_foreign_table f on f.ftrelid = c.oid
      left join pg_foreign_server s on s.oid = f.ftserver
    where c.relkind in ('r', 'p', 'f', 'v', 'm') and ${isOwnSchema(sql2)}
      and ${isNoMember(sql2, { catalog: "pg_class", oid: "c.oid" })}
      and ${isNoChunk(sql2, timescale.isThere)}`;
  const parts = await readParts(sql2, { oids: rows.map(({ oid }) => oid) });
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
        owner: grants && row.owner,
        grants: row.grants
      }),
      parts: parts.get(row.oid) ?? []
    };
  });
}
function grantText(sql2) {
  return sql2`format('%s: %s%s', case a.grantee when 0 then 'public' else a.grantee::regrole::text end,
    a.privilege_type, case when a.is_grantable then '*' else '' end)`;
}

// src/schema/snapshot/others.ts
function objectsOf(kind, rows, { grants: isWithGrants }) {
  return rows.map(({ name, comment, owner, grants, ...facts }) => ({
    kind,
    name,
    facts: factsOf({
      ...facts,
      comment,
      owner: isWithGrants && owner,
      grants: isWithGrants ? grants : null
    }),
    parts: []
  }));
}
function grantsOf(sql2, acl, standard) {
  return sql2`(
    select array_agg(${grantText(sql2)} order by ${grantText(sql2)} collate "C")
    from aclexplode(coalesce(${acl}, ${standard})) as a
  )`;
}
async function readDatabase(sql2, options) {
  const rows = await sql2`
    select 'database' as name,
      shobj_description(d.oid, 'pg_database') as comment, pg_get_userbyid(d.datdba) as owner,
      ${grantsOf(sql2, sql2`d.datacl`, sql2`acldefault('d', d.datdba)`)} as grants,
      case when ${options.grants} then (
        select array_agg(line order by line collate "C") from (
          select format('%s by %s%s to %s',
            case defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
              when 'T' then 'types' else 'schemas' end,
            pg_get_userbyid(defaclrole),
            coalesce(' in ' || nullif(defaclnamespace, 0)::regnamespace::text, ''), ${grantText(sql2)}) as line
          from pg_default_acl, aclexplode(defaclacl) as a
        ) as lines
      ) end as "default privileges"
    from pg_database d where d.datname = current_database()`;
  return objectsOf("database", rows, options).filter(({ facts }) => Object.keys(facts).length > 0);
}
async function readExtensions(sql2, options) {
  const rows = await sql2`
    select quote_ident(extname) as name, extversion as version, quote_ident(n.nspname) as schema,
      obj_description(e.oid, 'pg_extension') as comment, pg_get_userbyid(extowner) as owner
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where extname <> 'plpgsql'`;
  return objectsOf("extension", rows, options);
}
async function readSchemas(sql2, options) {
  const rows = await sql2`
    select quote_ident(nspname) as name, obj_description(n.oid, 'pg_namespace') as comment,
      pg_get_userbyid(nspowner) as owner,
      ${grantsOf(sql2, sql2`n.nspacl`, sql2`acldefault('n', n.nspowner)`)} as grants
    from pg_namespace n
    where ${isOwnSchema(sql2)} and ${isNoMember(sql2, { catalog: "pg_namespace", oid: "n.oid" })}`;
  return objectsOf("schema", rows, options);
}
async function readTypes(sql2, options) {
  const rows = await sql2`
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
      ${grantsOf(sql2, sql2`t.typacl`, sql2`acldefault('T', t.typowner)`)} as grants
    from pg_type t join pg_namespace n on n.oid = t.typnamespace
      left join pg_class c on c.oid = t.typrelid
      left join pg_type b on b.oid = t.typbasetype
      left join pg_range r on r.rngtypid = t.oid
      left join pg_type s on s.oid = r.rngsubtype
    where ${isOwnSchema(sql2)} and ${isNoMember(sql2, { catalog: "pg_type", oid: "t.oid" })}
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
async function readSequences(sql2, options) {
  const rows = await sql2`
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
      ${grantsOf(sql2, sql2`c.relacl`, sql2`acldefault('s', c.relowner)`)} as grants
    from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
    where ${isOwnSchema(sql2)} and ${isNoMember(sql2, { catalog: "pg_class", oid: "c.oid" })}
      and not exists (
        select from pg_depend where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'i'
      )`;
  return objectsOf("sequence", rows, options);
}
async function readFunctions(sql2, options) {
  const rows = await sql2`
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
      ${grantsOf(sql2, sql2`p.proacl`, sql2`acldefault('f', p.proowner)`)} as grants
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
    where ${isOwnSchema(sql2)} and ${isNoMember(sql2, { catalog: "pg_proc", oid: "p.oid" })}
      -- CREATE TYPE … AS RANGE makes its own constructors.
      and not exists (
        select from pg_depend where classid = 'pg_proc'::regclass and objid = p.oid and deptype = 'i'
      )`;
  return objectsOf("function", rows, options);
}
async function readPublications(sql2, options) {
  const rows = await sql2`
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
async function readEventTriggers(sql2, options) {
  const rows = await sql2`
    select quote_ident(evtname) as name, evtevent as event,
      (select array_agg(tag order by tag collate "C") from unnest(evttags) as tag) as tags,
      evtfoid::regproc::text as function,
      case evtenabled when 'D' then 'disabled' when 'R' then 'on replicas' when 'A' then 'always' end as firing,
      obj_description(e.oid, 'pg_event_trigger') as comment, pg_get_userbyid(evtowner) as owner
    from pg_event_trigger e
    where ${isNoMember(sql2, { catalog: "pg_event_trigger", oid: "e.oid" })}`;
  return objectsOf("event trigger", rows, options);
}

// src/schema/snapshot/timescale.ts
async function readTimescale(sql2) {
  if (!await hasTimescale(sql2)) {
    return { isThere: false, hypertables: /* @__PURE__ */ new Map(), aggregates: /* @__PURE__ */ new Map() };
  }
  return {
    isThere: true,
    hypertables: await readHypertables(sql2),
    aggregates: await readAggregates(sql2)
  };
}
async function readHypertables(sql2) {
  const dimensions = await sql2`
    select format('%I.%I', hypertable_schema, hypertable_name) as name, quote_ident(column_name) as column,
      coalesce(time_interval::text, integer_interval::text) as interval, num_partitions::int as partitions
    from timescaledb_information.dimensions order by 1, dimension_number`;
  const settings = await sql2`
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
async function readAggregates(sql2) {
  const rows = await sql2`
    select format('%I.%I', view_schema, view_name) as name, view_definition as query,
      materialized_only as "isMaterializedOnly", compression_enabled as "isCompressed",
      format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) as store
    from timescaledb_information.continuous_aggregates`;
  const stores = await readHypertables(sql2);
  return new Map(
    rows.map(({ name, query, isMaterializedOnly, store }) => [
      name,
      { query, facts: factsOf({ "materialized only": isMaterializedOnly, ...stores.get(store) }) }
    ])
  );
}
async function readJobs(sql2) {
  if (!await hasTimescale(sql2)) return [];
  const rows = await sql2`
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
      case when j.check_name is not null then format('%I.%I', j.check_schema, j.check_name) end as check,
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
async function readSnapshot(sql2, options) {
  const { parse } = await loadGrammar();
  return withCatalog(sql2, async () => {
    const timescale = await readTimescale(sql2);
    const objects = [
      ...await readDatabase(sql2, options),
      ...await readExtensions(sql2, options),
      ...await readSchemas(sql2, options),
      ...await readTypes(sql2, options),
      ...await readSequences(sql2, options),
      ...await readFunctions(sql2, options),
      ...await readRelations(sql2, { ...options, timescale, parse }),
      ...await readJobs(sql2),
      ...await readPublications(sql2, options),
      ...await readEventTriggers(sql2, options)
    ];
    return { format: 1, objects: objects.sort(compareObjects) };
  });
}
var rank2 = new Map(objectKinds.map((kind, index) => [kind, index]));
function compareObjects(a, b) {
  return (rank2.get(a.kind) ?? 0) - (rank2.get(b.kind) ?? 0) || compareText(a.name, b.name);
}

// ../../scratch/snap.ts
import postgres2 from "postgres";
var sql = postgres2(process.argv[2], { max: 1, onnotice: () => {
} });
var t = performance.now();
var s = await readSnapshot(sql, { grants: process.argv[3] === "grants" });
console.error((performance.now() - t).toFixed(0), "ms", s.objects.length);
process.stdout.write(printSnapshot(s));
await sql.end();
