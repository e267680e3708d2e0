import { once } from 'node:events';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { Duplex, PassThrough } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { hasCode } from '../runtime/errors.ts';
import { followConversation } from './protocol.ts';
import type { SqlError } from './sql-errors.ts';
import type { Host } from './target.ts';
import { handshakeFault, type TlsSettings, tlsFault, verifyServer } from './tls.ts';

export interface Patience {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Calls `giveUp` after the timeout or when the signal fires. The returned function prevents that. */
export function onTimeoutOrAbort({ timeoutMs, signal }: Patience, giveUp: () => void): () => void {
  const timer = setTimeout(giveUp, timeoutMs);
  signal?.addEventListener('abort', giveUp, { once: true });
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', giveUp);
  };
}

export function noAnswer(): Error {
  return Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' });
}

/** A socket that fails at once. postgres.js handles a failing socket, but hangs without one. */
export function brokenSocket(): Duplex {
  const socket = new PassThrough();
  const lost = Object.assign(new Error('the connection was lost'), { code: 'CONNECTION_CLOSED' });
  setImmediate(() => socket.destroy(lost));
  return socket;
}

export interface SocketOptions extends Patience {
  /** undefined: without TLS. */
  readonly tls: TlsSettings | undefined;
  readonly keepAliveMs: number | undefined;
}

/** A connection whose messages are checked. */
export interface CheckedSocket extends Duplex {
  /** What the server said when it ended the connection. */
  readonly lastWords: () => SqlError | undefined;
}

/**
 * Connects to the host, by TLS where the settings say so. A Unix socket has no TLS, as in libpq.
 * Rejects with the error of Node, of the server, or of the protocol, and with `noAnswer` at the timeout or the signal.
 */
export async function openSocket(host: Host, options: SocketOptions): Promise<CheckedSocket> {
  const { tls, keepAliveMs } = options;
  const isUnix = host.host.startsWith('/');
  const socket = isUnix
    ? connectTcp({ path: `${host.host}/.s.PGSQL.${host.port}` })
    : connectTcp({ host: host.address ?? host.host, port: host.port, noDelay: true });
  // An error between two steps has no other listener, and would end the process.
  socket.on('error', () => {});
  const stopWaiting = onTimeoutOrAbort(options, () => socket.destroy(noAnswer()));
  try {
    await once(socket, 'connect');
    if (keepAliveMs !== undefined) socket.setKeepAlive(true, keepAliveMs);
    const isTls = tls && !isUnix && (tls.isDirect || (await offersTls(socket, tls)));
    return checked(isTls ? await startTls(socket, host, tls) : socket);
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    stopWaiting();
  }
}

/** Asks for TLS. The server answers with one byte; more would be unencrypted data from a stranger on the way. */
async function offersTls(socket: Socket, { isRequired }: TlsSettings): Promise<boolean> {
  const request = Buffer.alloc(8);
  request.writeInt32BE(8, 0);
  request.writeInt32BE(80_877_103, 4);
  socket.write(request);
  const answer = await firstChunk(socket);
  const letter = answer.toString('latin1', 0, 1);
  if (letter === 'E') {
    throw tlsFault(
      'TLS_REFUSED',
      'answered the request for TLS with an error',
      'look into the log of the server',
    );
  }
  if (answer.length > 1 || (letter !== 'S' && letter !== 'N')) {
    throw tlsFault(
      'PROTOCOL_VIOLATION',
      'sent an answer that is not one of PostgreSQL',
      'check that the port is the one of PostgreSQL',
    );
  }
  if (letter === 'N' && isRequired) {
    throw tlsFault(
      'TLS_NOT_OFFERED',
      'does not offer TLS; sslmode requires TLS',
      'switch TLS on at the server, or set another sslmode in the URL or in PGSSLMODE',
    );
  }
  return letter === 'S';
}

function firstChunk(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const onClose = () => reject(socket.errored ?? closedBeforeTls());
    socket.once('close', onClose).once('data', (chunk: Buffer) => {
      socket.pause().removeListener('close', onClose);
      resolve(chunk);
    });
  });
}

async function startTls(plain: Socket, { host }: Host, tls: TlsSettings): Promise<TLSSocket> {
  // An address with a zone, such as fe80::1%eth0, stands without it in a certificate.
  const name = host.replace(/%.*$/, '');
  const servername = tls.isNameSent && isIP(name) === 0 ? { servername: name } : {};
  const socket = connectTls({
    ...tls.options,
    ...servername,
    socket: plain,
    // `verifyServer` checks the name.
    checkServerIdentity: () => undefined,
  });
  socket.on('error', () => {});
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('close', () => {
      const errored = plain.errored ?? socket.errored;
      const isCut = errored === null || hasCode(errored, 'ECONNRESET');
      reject(isCut ? closedBeforeTls() : (handshakeFault(errored) ?? errored));
    });
  });
  verifyServer(socket, name, tls);
  return socket;
}

function closedBeforeTls(): Error {
  return tlsFault(
    'TLS_REFUSED',
    'closed the connection before TLS started; sslmode requires TLS, and the server may not offer it',
    'switch TLS on at the server, or set another sslmode in the URL or in PGSSLMODE',
  );
}

/**
 * The socket for postgres.js: it ends with the server's own words, and at the first message that breaks the protocol.
 * It has a socket's `readyState`, which postgres.js reads.
 */
function checked(socket: Socket): CheckedSocket {
  const conversation = followConversation();
  const reason = (error: Error | null) => conversation.lastWords() ?? socket.errored ?? error;
  const duplex = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      conversation.fromClient(chunk);
      socket.write(chunk, (error) => done(error ? reason(error) : null));
    },
    final: (done) => {
      // Terminate is written. Like libpq, do not wait until the backend has exited.
      socket.end(() => {
        done();
        socket.destroy();
      });
    },
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on('data', (chunk: Buffer) => {
    try {
      conversation.fromServer(chunk);
    } catch (error) {
      duplex.destroy(error instanceof Error ? error : undefined);
      return;
    }
    if (!duplex.push(chunk)) socket.pause();
  });
  const end = () => duplex.destroy(reason(null) ?? undefined);
  // What has come before the end is read first.
  socket.once('end', () => duplex.push(null)).once('close', end);
  duplex.once('end', end);
  // Without a listener of its own the error of a socket that postgres.js has let go of would end the process.
  duplex.on('error', () => {});
  return Object.defineProperties(duplex, {
    readyState: { get: () => (socket.destroyed ? 'closed' : socket.readyState) },
    lastWords: { value: conversation.lastWords },
  }) as CheckedSocket;
}
