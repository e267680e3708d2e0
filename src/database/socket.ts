import { connect as connectTcp, type Socket } from 'node:net';
import { type Duplex, PassThrough } from 'node:stream';
import { CryptosenseDbError, messageOf } from '../runtime/errors.ts';
import { readBytes } from '../runtime/files.ts';
import type { Host, TlsOptions } from './target.ts';

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

export function openSocket({ host, port }: Host, patience: Patience): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = host.startsWith('/')
      ? connectTcp({ path: `${host}/.s.PGSQL.${port}` })
      : connectTcp({ host, port, noDelay: true });
    const stopWaiting = onTimeoutOrAbort(patience, () => socket.destroy(noAnswer()));
    socket.once('error', (error) => {
      stopWaiting();
      reject(error);
    });
    // Terminate is written. Like libpq, do not wait until the backend has exited.
    socket.once('finish', () => socket.destroy());
    socket.once('connect', () => {
      stopWaiting();
      resolve(Object.assign(socket, { host }));
    });
  });
}

/** Translates libpq's sslmode into options of node:tls. As in libpq, `require` with a root certificate verifies. */
export function tlsSettings({ mode, rootCertificate, certificate, key }: TlsOptions) {
  if (mode === 'disable') return false;
  if (mode === 'allow' || mode === 'prefer') return 'prefer';
  const isVerified = mode !== 'require' || rootCertificate !== undefined;
  return {
    rejectUnauthorized: isVerified,
    ...(mode !== 'verify-full' && { checkServerIdentity: () => undefined }),
    ...(rootCertificate && rootCertificate !== 'system' && { ca: readPem(rootCertificate) }),
    ...(certificate && { cert: readPem(certificate) }),
    ...(key && { key: readPem(key) }),
  };
}

function readPem(path: string): string {
  try {
    return readBytes(path).toString('utf8');
  } catch (cause) {
    throw new CryptosenseDbError(
      'file-problem',
      { message: `the certificate file ${path} cannot be read`, evidence: [messageOf(cause)] },
      { details: { path }, cause },
    );
  }
}
