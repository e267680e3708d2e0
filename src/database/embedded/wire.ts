import { Duplex } from 'node:stream';
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';

/**
 * The server's side of PostgreSQL's wire protocol, version 3
 * (https://www.postgresql.org/docs/17/protocol-message-formats.html). Cuts the bytes of a client into
 * messages and gives them to an engine that runs one buffer at a time to its end.
 */

/** The engine behind the wire. The caller may keep each buffer that it returns. */
export interface Backend {
  /** Starts a session. Returns the reply; an ErrorResponse ends the session. */
  start(message: Buffer, parameters: ReadonlyMap<string, string>): Promise<Buffer>;
  /** Runs whole messages in order. Returns their replies. Rejects when the engine has failed. */
  run(messages: Buffer): Promise<Buffer>;
}

interface Message {
  /** The letter of the protocol, or a word for a message without one. */
  readonly type: string;
  readonly bytes: Buffer;
}

const sslRequest = 80_877_103;
const gssEncryptionRequest = 80_877_104;
const cancelRequest = 80_877_102;

const terminate: Message = { type: 'X', bytes: message('X', Buffer.alloc(0)) };

/**
 * The engine crashes when COPY reads past the end of its buffer. So each buffer ends with this
 * message, which PostgreSQL ignores outside COPY.
 */
const copyFail = message(
  'f',
  text('the embedded engine takes COPY FROM STDIN at the start of a simple query only'),
);
const errorType = 'E'.charCodeAt(0);
const sync = message('S', Buffer.alloc(0));
const openProbe = query('savepoint cryptosense_db_copy');
const undoProbe = query(
  'rollback to savepoint cryptosense_db_copy; release savepoint cryptosense_db_copy',
);
const closeProbe = query('release savepoint cryptosense_db_copy');

/**
 * Opens a stream between a client and the backend. It has a socket's `readyState`, which postgres.js
 * reads. A Terminate message, or the end of the client's side, destroys the stream after all earlier
 * messages have run. An error of the backend destroys it with that error. `onClose` is called before
 * the event 'close'.
 */
export function createWire(backend: Backend, onClose: () => void): Duplex {
  const cut = createCutter();
  const queue: Message[] = [];
  let isRunning = false;

  const duplex = new Duplex({
    // When 'drain' comes between two queries, postgres.js treats a reserved connection as free. With
    // this limit the event never comes.
    writableHighWaterMark: Number.MAX_SAFE_INTEGER,
    allowHalfOpen: false,
    read() {},
    write(chunk: Buffer, _encoding, callback) {
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
    },
  });
  Object.defineProperty(duplex, 'readyState', {
    get: () => (duplex.destroyed ? 'closed' : 'open'),
  });

  const converse = createConversation(backend, duplex);
  const wake = () => {
    if (isRunning) return;
    isRunning = true;
    void drainQueue();
  };
  const drainQueue = async () => {
    try {
      // The client's write must return before the reply arrives.
      await yieldToEventLoop();
      for (let index = 0; index < queue.length && !duplex.destroyed; index += 1) {
        const next = queue[index];
        if (next) await converse(next);
      }
      queue.length = 0;
      isRunning = false;
    } catch (error) {
      duplex.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  };
  return duplex;
}

/** Turns chunks into whole messages. Joins the bytes once a message is complete, not for each chunk. */
function createCutter(): (chunk: Buffer) => Message[] {
  let parts: Buffer[] = [];
  let size = 0;
  let wanted = 0;
  let isStarted = false;

  return (chunk) => {
    parts.push(chunk);
    size += chunk.length;
    if (size < wanted) return [];

    const messages: Message[] = [];
    let rest = parts.length === 1 ? chunk : Buffer.concat(parts, size);
    for (;;) {
      const typeSize = isStarted ? 1 : 0;
      const headerSize = typeSize + 4;
      wanted = rest.length < headerSize ? headerSize : typeSize + rest.readUInt32BE(typeSize);
      if (wanted < headerSize)
        throw new Error('a message of the client is shorter than its header');
      if (rest.length < wanted) break;
      const bytes = rest.subarray(0, wanted);
      const type = isStarted ? bytes.toString('latin1', 0, 1) : startType(bytes);
      if (type === 'startup') isStarted = true;
      messages.push({ type, bytes });
      rest = rest.subarray(wanted);
    }
    parts = rest.length === 0 ? [] : [rest];
    size = rest.length;
    return messages;
  };
}

function startType(bytes: Buffer): string {
  const code = bytes.length < 8 ? 0 : bytes.readUInt32BE(4);
  if (code === sslRequest || code === gssEncryptionRequest) return 'encryption';
  if (code === cancelRequest) return 'cancel';
  if (code >>> 16 === 3) return 'startup';
  throw new Error('the client does not speak version 3 of the PostgreSQL protocol');
}

/** A reply for the client, without the CopyInResponse. */
interface Reply {
  readonly bytes: Buffer;
  /** The CopyInResponse that was removed from `bytes`. */
  readonly copyIn: Buffer | undefined;
}

/** Handles messages in order. The promise settles when everything that can run has run. */
function createConversation(backend: Backend, duplex: Duplex): (next: Message) => Promise<void> {
  let batch: Buffer[] = [];
  let copy: Buffer[] | undefined;
  let transactionStatus = 'I';

  const send = (bytes: Buffer) => {
    if (bytes.length > 0 && !duplex.destroyed) duplex.push(bytes);
  };

  const run = async (messages: readonly Buffer[]): Promise<Reply> => {
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
    // COPY reads the Sync message that follows it as data, so it is sent again.
    if (copyIn && messages.at(-1)?.[0] === sync[0]) send((await run([sync])).bytes);
  };

  /**
   * The engine takes COPY and all its data in one buffer, but a client sends data only after the
   * server has asked for it. So COPY runs twice: first without data, to learn whether the server
   * accepts it, which is then undone; and again with all data.
   */
  const probeCopy = async (bytes: Buffer) => {
    const isInTransaction = transactionStatus === 'T';
    if (isInTransaction) await run([openProbe]);
    const probe = await run([bytes]);
    if (!probe.copyIn) {
      if (isInTransaction && transactionStatus === 'T') await run([closeProbe]);
      send(probe.bytes);
      return;
    }
    if (isInTransaction) await run([undoProbe]);
    copy = [bytes];
    send(probe.copyIn);
  };

  const finishCopy = async (messages: readonly Buffer[]) => {
    copy = undefined;
    send((await run(messages)).bytes);
  };

  const converse = async (next: Message): Promise<void> => {
    const { type, bytes } = next;
    if (copy && type !== 'X') {
      switch (type) {
        case 'd':
          copy.push(bytes);
          return;
        case 'c':
          return finishCopy([...copy, bytes]);
        case 'f':
          return finishCopy([...copy.slice(0, 1), bytes]);
        case 'S':
        case 'H':
          return;
        default:
          await finishCopy(copy.slice(0, 1));
      }
    }
    switch (type) {
      case 'startup': {
        const reply = await backend.start(bytes, readParameters(bytes));
        send(reply);
        if (reply[0] === errorType) duplex.push(null);
        return;
      }
      case 'encryption':
        send(Buffer.from('N'));
        return;
      case 'cancel':
      case 'X':
        duplex.destroy();
        return;
      case 'Q':
        await runBatch();
        if (isCopyFromStdin(bytes)) return probeCopy(bytes);
        send((await run([bytes])).bytes);
        return;
      case 'S':
      case 'H':
      case 'F':
        batch.push(bytes);
        return runBatch();
      case 'd':
      case 'c':
      case 'f':
        return;
      default:
        batch.push(bytes);
    }
  };
  return converse;
}

/** Reads only the start of the query, since a COPY statement is short. */
function isCopyFromStdin(bytes: Buffer): boolean {
  const start = bytes.toString('latin1', 5, 5 + 65_536);
  return /^(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/)*copy\b[\s\S]*\bfrom\s+stdin\b/i.test(start);
}

/** Removes messages that the client must not see, and reads the transaction status. */
function tidy(bytes: Buffer): Reply & { readonly transactionStatus: string | undefined } {
  const kept: Buffer[] = [];
  let copyIn: Buffer | undefined;
  let transactionStatus: string | undefined;
  for (let start = 0; start < bytes.length; ) {
    const end = start + 1 + bytes.readUInt32BE(start + 1);
    const next = bytes.subarray(start, end);
    const type = next.toString('latin1', 0, 1);
    if (type === 'G') copyIn = next;
    else if (type !== 'N' || !isEngineNoise(next)) kept.push(next);
    if (type === 'Z') transactionStatus = next.toString('latin1', 5);
    start = end;
  }
  return { bytes: Buffer.concat(kept), copyIn, transactionStatus };
}

/** PGlite's trace of a rollback, which it sends as a warning: "# 1743: aborting transaction 740". */
function isEngineNoise(notice: Buffer): boolean {
  return notice.includes('\0RRecordTransactionAbort\0');
}

/** The parameters of a startup message. */
function readParameters(bytes: Buffer): ReadonlyMap<string, string> {
  const words = bytes.toString('utf8', 8).split('\0');
  const parameters = new Map<string, string>();
  for (let index = 0; index + 1 < words.length; index += 2) {
    const [name = '', value = ''] = words.slice(index, index + 2);
    if (name === '') break;
    parameters.set(name, value);
  }
  return parameters;
}

/** An ErrorResponse that ends the session. */
export function fatalResponse({ code, message: words }: { code: string; message: string }): Buffer {
  const fields = [`SFATAL`, `VFATAL`, `C${code}`, `M${words}`].map(text);
  return message('E', Buffer.concat([...fields, Buffer.alloc(1)]));
}

/** A PasswordMessage. */
export function passwordMessage(password: string): Buffer {
  return message('p', text(password));
}

function query(sql: string): Buffer {
  return message('Q', text(sql));
}

function text(words: string): Buffer {
  return Buffer.from(`${words}\0`);
}

function message(type: string, body: Buffer): Buffer {
  const bytes = Buffer.alloc(5 + body.length);
  bytes.write(type, 'latin1');
  bytes.writeUInt32BE(4 + body.length, 1);
  body.copy(bytes, 5);
  return bytes;
}
