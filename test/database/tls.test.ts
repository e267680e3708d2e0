import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { openPrimary } from '../../src/database/client.ts';
import { parseTarget } from '../../src/database/target.ts';
import { wait } from '../../src/databases/lifecycle.ts';
import { isError } from '../../src/runtime/errors.ts';
import { type Certificate, hasOpenssl, makeCertificate } from '../support/certificates.ts';
import { codeOf } from '../support/errors.ts';
import { temporaryFolder } from '../support/fixtures.ts';

/** The server's answer to a login, which a client that trusts it gets. */
const refusal = Buffer.from('SFATAL\0VFATAL\0C28000\0Mtrusted\0\0');
const head = Buffer.alloc(5, 'E');
head.writeUInt32BE(refusal.length + 4, 1);
const trusted = Buffer.concat([head, refusal]);

async function listen(serve: (socket: Socket) => void): Promise<number> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => {}));
    serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
}

/** A server that starts TLS with the certificate, and refuses the login after it. */
function startServer({ certificate, key }: Certificate, chain: readonly Certificate[] = []) {
  const cert = [certificate, ...chain.map((each) => each.certificate)].map((path) =>
    readFileSync(path, 'utf8'),
  );
  return listen((socket) => {
    socket.once('data', () => {
      socket.write('S');
      const secure = new TLSSocket(socket, {
        isServer: true,
        cert: cert.join('\n'),
        key: readFileSync(key),
      });
      secure.on('error', () => {}).once('data', () => secure.end(trusted));
    });
  });
}

/** `trusted`, or the code of the fault. */
async function outcomeOf(url: string): Promise<string> {
  const target = parseTarget(url, { user: 'u' });
  if (target.kind !== 'server') throw new Error('the URL names a server');
  const error: unknown = await openPrimary({ ...target, connectTimeoutMs: 5_000 }, {}).catch(
    (reason: unknown) => reason,
  );
  if (!isError(error)) return `no error of ours: ${String(error)}`;
  if (error.code === 'login-refused') return 'trusted';
  const { cause } = error;
  const fault = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
  return error.code === 'server-unreachable' && fault ? fault : error.code;
}

const strayed: unknown[] = [];
const catchStray = (error: unknown) => strayed.push(error);
beforeEach(() => {
  process.on('unhandledRejection', catchStray).on('uncaughtException', catchStray);
});
afterEach(() => {
  process.off('unhandledRejection', catchStray).off('uncaughtException', catchStray);
  expect(strayed).toEqual([]);
});

const name = `the certificate of a server${hasOpenssl ? '' : ' (skipped: openssl is not installed here)'}`;

describe.skipIf(!hasOpenssl)(name, () => {
  let ca: Certificate;
  let between: Certificate;
  let stranger: Certificate;
  let namesake: Certificate;

  beforeAll(() => {
    ca = makeCertificate('CA', { isCa: true });
    between = makeCertificate('CA between', { isCa: true, issuer: ca });
    stranger = makeCertificate('another CA', { isCa: true });
    namesake = makeCertificate('CA', { isCa: true });
  });

  interface Scene {
    readonly host?: string;
    readonly mode?: string;
    /** Default: `server`. */
    readonly subject?: string;
    readonly names?: string;
    readonly days?: number;
    readonly issuer?: () => Certificate | undefined;
    readonly chain?: () => readonly Certificate[];
    /** Default: the CA; `own`: the certificate of the server. */
    readonly root?: (own: Certificate) => Certificate | undefined;
    readonly query?: string;
  }

  async function connect(scene: Scene): Promise<string> {
    const { host = '127.0.0.1', mode = 'verify-full', names, days, query = '' } = scene;
    const issuer = scene.issuer ? scene.issuer() : ca;
    const own = makeCertificate(scene.subject ?? 'server', {
      ...(issuer && { issuer }),
      ...(names !== undefined && { names }),
      ...(days !== undefined && { days }),
    });
    const root = scene.root ? scene.root(own) : ca;
    const port = await startServer(own, scene.chain?.());
    const file = root ? `&sslrootcert=${root.certificate}` : '';
    return outcomeOf(`postgresql://${host}:${port}/d?sslmode=${mode}${file}${query}`);
  }

  it.each<[string, Scene]>([
    ['names the address of the host', { names: 'IP:127.0.0.1' }],
    ['names the address as a name', { names: 'DNS:db.example,DNS:127.0.0.1' }],
    ['names the address as its subject, and has no other name', { subject: '127.0.0.1' }],
    ['names the host among others', { host: 'localhost', names: 'DNS:db.example,DNS:localhost' }],
    [
      'names the host whose address is given',
      {
        host: 'db.example',
        names: 'DNS:db.example',
        query: '&hostaddr=127.0.0.1',
      },
    ],
    [
      'names the host by a wildcard',
      {
        host: 'a.db.example',
        names: 'DNS:*.db.example',
        query: '&hostaddr=127.0.0.1',
      },
    ],
    [
      'comes with the CA between',
      {
        names: 'IP:127.0.0.1',
        issuer: () => between,
        chain: () => [between],
      },
    ],
    [
      'signs itself, and is the root',
      {
        names: 'IP:127.0.0.1',
        issuer: () => undefined,
        root: (own) => own,
      },
    ],
    ['names another host under verify-ca', { mode: 'verify-ca', names: 'DNS:elsewhere' }],
    [
      'signs itself under require without a root',
      {
        mode: 'require',
        issuer: () => undefined,
        root: () => undefined,
      },
    ],
    ['is expired under prefer', { mode: 'prefer', days: -1 }],
  ])('is trusted when it %s', async (_, scene) => {
    expect(await connect(scene)).toBe('trusted');
  });

  const otherHost = 'ERR_TLS_CERT_ALTNAME_INVALID';
  it.each<[string, string, Scene]>([
    // Node compares with "localhost" when the host is an address.
    ['names localhost, and the host is an address', otherHost, { names: 'DNS:localhost' }],
    [
      'names the address as its subject, and has another name',
      otherHost,
      { subject: '127.0.0.1', names: 'DNS:db.example' },
    ],
    ['names another address', otherHost, { names: 'IP:127.0.0.2' }],
    ['has no name but its subject, and the host is an address', otherHost, {}],
    ['names another host', otherHost, { host: 'localhost', names: 'DNS:db.example' }],
    [
      'names the address, and the host is a name',
      otherHost,
      {
        host: 'localhost',
        names: 'IP:127.0.0.1',
      },
    ],
    ['is expired', 'CERT_HAS_EXPIRED', { names: 'IP:127.0.0.1', days: -1 }],
    [
      'signs itself',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      {
        names: 'IP:127.0.0.1',
        issuer: () => undefined,
      },
    ],
    [
      'comes without the CA between',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      {
        names: 'IP:127.0.0.1',
        issuer: () => between,
      },
    ],
    [
      'is of another CA',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      {
        names: 'IP:127.0.0.1',
        issuer: () => stranger,
      },
    ],
    [
      'comes with the root of another CA',
      'SELF_SIGNED_CERT_IN_CHAIN',
      {
        names: 'IP:127.0.0.1',
        issuer: () => stranger,
        chain: () => [stranger],
      },
    ],
    [
      'is of another CA with the same name',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      {
        names: 'IP:127.0.0.1',
        issuer: () => namesake,
      },
    ],
    [
      'is of another CA, under require with a root',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      {
        mode: 'require',
        issuer: () => stranger,
      },
    ],
  ])('is refused when it %s', async (_, code, scene) => {
    expect(await connect(scene)).toBe(code);
  });

  it('of this client needs its own key, in PEM form', async () => {
    const own = makeCertificate('client', { issuer: ca });
    const text = join(temporaryFolder(), 'text');
    writeFileSync(text, 'no certificate');
    for (const [certificate, key] of [
      [own.certificate, ca.key],
      [own.certificate, text],
      [text, own.key],
      [own.certificate, `${own.key}-gone`],
    ]) {
      const url = `postgresql://127.0.0.1:1/d?sslmode=require&sslcert=${certificate}&sslkey=${key}`;
      expect(await outcomeOf(url)).toBe('file-problem');
    }
    expect(
      await outcomeOf(`postgresql://127.0.0.1:1/d?sslmode=verify-ca&sslrootcert=${text}`),
    ).toBe('file-problem');
  });
});

describe('db wait', () => {
  const outcomeAt = (port: number, mode: string) =>
    codeOf(wait({ target: `postgresql://u@127.0.0.1:${port}/d?sslmode=${mode}` }));

  it('does not wait for TLS that the server does not offer', async () => {
    const port = await listen((socket) => socket.once('data', () => socket.write('N')));
    expect(await outcomeAt(port, 'require')).toBe('server-unreachable');
  });

  it.runIf(hasOpenssl)('does not wait for a certificate that is not trusted', async () => {
    const port = await startServer(makeCertificate('server', { names: 'IP:127.0.0.1' }));
    expect(await outcomeAt(port, 'verify-full&sslrootcert=system')).toBe('server-unreachable');
  });
});

describe('a server that does not start TLS', () => {
  it.each<[string, string, (socket: Socket) => void]>([
    ['offers none', 'TLS_NOT_OFFERED', (socket) => socket.write('N')],
    ['answers with an error', 'TLS_REFUSED', (socket) => socket.write('Esomething')],
    ['ends the connection', 'TLS_REFUSED', (socket) => socket.end()],
    ['resets the connection', 'ECONNRESET', (socket) => socket.resetAndDestroy()],
    ['is not PostgreSQL', 'PROTOCOL_VIOLATION', (socket) => socket.end('HTTP/1.1 400 Bad\r\n\r\n')],
    ['lets a stranger add data', 'PROTOCOL_VIOLATION', (socket) => socket.write('Sand more')],
    ['ends the handshake', 'TLS_REFUSED', (socket) => socket.end('S')],
    [
      'sends no TLS',
      'TLS_BROKEN',
      (socket) => {
        socket.write('S');
        socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
      },
    ],
  ])('is named when it %s', async (_, code, answer) => {
    const port = await listen((socket) => socket.once('data', () => answer(socket)));
    expect(await outcomeOf(`postgresql://127.0.0.1:${port}/d?sslmode=require`)).toBe(code);
  });

  it('serves under prefer when it offers none', async () => {
    const port = await listen((socket) => {
      socket.once('data', () => {
        socket.write('N');
        socket.once('data', () => socket.end(trusted));
      });
    });
    expect(await outcomeOf(`postgresql://127.0.0.1:${port}/d?sslmode=prefer`)).toBe('trusted');
  });
});
