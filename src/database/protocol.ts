import type { SqlError } from './sql-errors.ts';

/** The first byte of a message (PostgreSQL documentation, 55.7). */
const types = {
  authentication: 0x52,
  backendKey: 0x4b,
  error: 0x45,
  notice: 0x4e,
  notification: 0x41,
  parameter: 0x53,
  ready: 0x5a,
  rowDescription: 0x54,
  protocolVersion: 0x76,
  query: 0x51,
  sync: 0x53,
  terminate: 0x58,
  copyData: 0x64,
  copyDone: 0x63,
  copyFail: 0x66,
} as const;

/** What a server may send before it is ready for the first query. */
const duringLogin = new Set<number>([
  types.authentication,
  types.backendKey,
  types.error,
  types.notice,
  types.parameter,
  types.protocolVersion,
  types.ready,
]);
/** What a server may send without a query. */
const unasked = new Set<number>([types.error, types.notice, types.notification, types.parameter]);
/** What a server may answer a query with. A COPY to the client is not among them: the tool has no use for one. */
const answers = new Set<number>([...'123ACDEGINSTZnst'].map((letter) => letter.charCodeAt(0)));

/** The bodies that are read here. The others pass as they come. */
const checkedBodies = new Set<number>([types.authentication, types.error, types.rowDescription]);

/** As in libpq, a longer message during the login, or a longer error, is not one of PostgreSQL's. */
const longestOfLogin = 30_000;
const longestMessage = 2 ** 30;

/** Follows the messages of one connection. Each function throws for a message that breaks the protocol. */
export interface Conversation {
  /** Reads what the server sent, at any cut. */
  readonly fromServer: (chunk: Buffer) => void;
  /** Reads what the client sends: whole messages. */
  readonly fromClient: (chunk: Buffer) => void;
  /** The error that the server reported last, when it then asked for nothing more; undefined after an answer. */
  readonly lastWords: () => SqlError | undefined;
}

/**
 * postgres.js trusts the server: a message out of turn, or one that is cut short inside, ends the process with an
 * unhandled rejection, or loops forever. So the messages are checked before postgres.js reads them.
 */
export function followConversation(): Conversation {
  const login = followLogin();
  let isLoggedIn = false;
  let isStarted = false;
  /** How many queries the server has to answer. */
  let asked = 0;
  /** The client has sent a part of a query. */
  let isAsking = false;
  let lastWords: SqlError | undefined;

  const allowed = () => {
    if (!isLoggedIn) return duringLogin;
    return asked > 0 || isAsking ? answers : unasked;
  };

  const checkHead = (type: number, length: number) => {
    if (!allowed().has(type)) {
      throw isStarted
        ? violation(`the message "${String.fromCharCode(type)}" out of turn`)
        : violation('an answer that is not one of PostgreSQL');
    }
    const longest = isLoggedIn && type !== types.error ? longestMessage : longestOfLogin;
    if (length < 4 || length > longest) throw violation(`a message of ${length} bytes`);
    isStarted = true;
  };

  const checkBody = (type: number, body: Buffer) => {
    if (type === types.authentication) login(body);
    if (type === types.rowDescription) checkRowDescription(body);
    if (type === types.error) lastWords = readError(body);
    if (type !== types.ready) return;
    isLoggedIn = true;
    asked = Math.max(0, asked - 1);
    if (lastWords?.severity === 'ERROR') lastWords = undefined;
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
    lastWords: () => lastWords,
  };
}

function isOfCopy(type: number | undefined): boolean {
  return type === types.copyData || type === types.copyDone || type === types.copyFail;
}

/** Calls `onHead` for each message before its body has come, and `onBody` when the message is complete. */
function cutMessages(
  onHead: (type: number, length: number) => void,
  onBody: (type: number, body: Buffer) => void,
): (chunk: Buffer) => void {
  const head = Buffer.alloc(5);
  let headBytes = 0;
  let missing = 0;
  let parts: Buffer[] = [];
  return (chunk) => {
    for (let at = 0; at < chunk.length; ) {
      if (headBytes < head.length) {
        const taken = chunk.copy(head, headBytes, at, at + head.length - headBytes);
        headBytes += taken;
        at += taken;
        if (headBytes < head.length) return;
        missing = head.readUInt32BE(1) - 4;
        onHead(head.readUInt8(0), missing + 4);
      }
      const end = Math.min(at + missing, chunk.length);
      const type = head.readUInt8(0);
      if (checkedBodies.has(type)) parts.push(chunk.subarray(at, end));
      missing -= end - at;
      at = end;
      if (missing > 0) return;
      const body = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
      parts = [];
      headBytes = 0;
      onBody(type, body);
    }
  };
}

const requests = { ok: 0, cleartext: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 };
const methods: Readonly<Record<number, string>> = { 2: 'Kerberos', 7: 'GSSAPI', 9: 'SSPI' };

/** Checks the requests of the login. After SCRAM has begun, the server has to prove that it knows the password, too. */
function followLogin(): (body: Buffer) => void {
  let last: number | undefined;
  return (body) => {
    if (body.length < 4) throw violation('a login that is cut short');
    const request = body.readUInt32BE(0);
    const text = body.toString('utf8', 4);
    const isExpected = (...before: readonly (number | undefined)[]) => before.includes(last);
    switch (request) {
      case requests.cleartext:
      case requests.md5:
        if (!isExpected(undefined) || (request === requests.md5 && body.length !== 8)) break;
        last = request;
        return;
      case requests.sasl:
        if (!isExpected(undefined)) break;
        if (!text.split('\0').includes('SCRAM-SHA-256')) {
          throw unsupported(`SASL with ${text.split('\0').filter(Boolean).join(', ')}`);
        }
        last = request;
        return;
      case requests.saslContinue:
        if (!isExpected(requests.sasl)) break;
        if (!/^r=[!-+\--~]+,s=[A-Za-z0-9+/]+=*,i=[1-9]\d{0,6}$/.test(text)) break;
        last = request;
        return;
      case requests.saslFinal:
        if (!isExpected(requests.saslContinue) || !/^v=[A-Za-z0-9+/]+=*$/.test(text)) break;
        last = request;
        return;
      case requests.ok:
        if (!isExpected(undefined, requests.cleartext, requests.md5, requests.saslFinal)) break;
        last = request;
        return;
      default:
        throw unsupported(methods[request] ?? `the method ${request}`);
    }
    throw violation('a login that breaks the protocol');
  };
}

/** postgres.js looks for the end of each name without regard to the end of the message. */
function checkRowDescription(body: Buffer): void {
  const columns = body.length < 2 ? 0 : body.readUInt16BE(0);
  let at = 2;
  for (let column = 0; column < columns; column += 1) {
    const end = body.indexOf(0, at);
    if (end < 0) throw violation('a description of rows that is cut short');
    at = end + 19;
  }
  if (at !== body.length) throw violation('a description of rows that is cut short');
}

/** The fields of an error, by the names that postgres.js gives them. */
const errorFields: Readonly<Record<string, string>> = {
  S: 'severity_local',
  V: 'severity',
  C: 'code',
  D: 'detail',
  H: 'hint',
  P: 'position',
  q: 'internal_query',
  W: 'where',
  s: 'schema_name',
  t: 'table_name',
  c: 'column_name',
  n: 'constraint_name',
  R: 'routine',
};

/** An error of the server. Of PostgreSQL's older forms and of poolers some lack fields. */
function readError(body: Buffer): SqlError {
  const fields = body.toString('utf8').split('\0').filter(Boolean);
  const text = (letter: string) => fields.find((field) => field.startsWith(letter))?.slice(1);
  const severity = text('V') ?? text('S') ?? 'ERROR';
  const named = fields.flatMap((field) => {
    const name = errorFields[field.charAt(0)];
    return name === undefined ? [] : [[name, field.slice(1)]];
  });
  return Object.assign(new Error(text('M') ?? 'the server gave no reason'), {
    severity_local: severity,
    ...Object.fromEntries(named),
    severity,
    code: text('C') ?? '',
  });
}

function violation(what: string): Error {
  return Object.assign(new Error(`the server sent ${what}`), { code: 'PROTOCOL_VIOLATION' });
}

function unsupported(method: string): Error {
  return Object.assign(
    new Error(`the server asks for ${method}, and this tool logs in with a password only`),
    { code: 'LOGIN_UNSUPPORTED' },
  );
}
