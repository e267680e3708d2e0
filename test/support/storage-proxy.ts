import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { onTestFinished } from 'vitest';
import { serveOnLoopback } from './loopback.ts';

export type StorageOperation =
  | 'begin'
  | 'part'
  | 'complete'
  | 'abort'
  | 'put'
  | 'get'
  | 'delete'
  | 'list';

/** A request of S3's interface. */
export interface StorageRequest {
  readonly operation: StorageOperation;
  /** The last part of the object's key: `dump`, `manifest.json`. */
  readonly name: string;
  /** Of a part, counted from 1; of others 0. */
  readonly part: number;
  /** The first byte that is asked for. */
  readonly from: number;
}

/**
 * What becomes of a request. pass: the server answers it. cut: the connection breaks before the server has it. lose: the
 * server does it, and the connection breaks before its answer. An answer: in place of the server's. bytes: the connection
 * breaks after as many bytes of the server's answer.
 */
export type Fate =
  | 'pass'
  | 'cut'
  | 'lose'
  | { readonly status: number; readonly body: string }
  | { readonly bytes: number };

/** How S3 answers what it does not do. */
export const refusal = (status: number, code: string): Fate => ({
  status,
  body: `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>refused by a test</Message></Error>`,
});

export interface StorageProxy {
  readonly endpoint: string;
  /** In their order. */
  readonly requests: readonly StorageRequest[];
}

export interface StorageProxyOptions {
  /** The port of the server. */
  readonly to: number;
  readonly decide: (request: StorageRequest) => Fate | Promise<Fate>;
  /** Called when the server has answered, before its answer is passed on. */
  readonly onAnswer?: (request: StorageRequest) => void;
}

/** A server of S3's interface in front of another one, until the test ends. Signatures stay as they are. */
export async function openStorageProxy({
  to,
  decide,
  onAnswer = () => {},
}: StorageProxyOptions): Promise<StorageProxy> {
  const requests: StorageRequest[] = [];
  const server = createServer((incoming, outgoing) => {
    serve(incoming, outgoing).catch(() => incoming.socket.destroy());
  });
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const asked = read(incoming);
    requests.push(asked);
    const fate = await decide(asked);
    if (fate === 'cut') return void incoming.socket.resetAndDestroy();
    if (typeof fate === 'object' && 'status' in fate) {
      await text(incoming);
      outgoing.writeHead(fate.status, { 'content-type': 'application/xml' }).end(fate.body);
      return;
    }
    const { method = '', url = '', headers } = incoming;
    const relayed = request({ host: '127.0.0.1', port: to, method, path: url, headers });
    incoming.on('close', () => incoming.complete || relayed.destroy()).pipe(relayed);
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      relayed.once('response', resolve).once('error', reject);
    });
    onAnswer(asked);
    if (fate === 'lose') return void incoming.socket.resetAndDestroy();
    outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
    if (fate === 'pass') return pipeline(answer, outgoing);
    let left = fate.bytes;
    for await (const piece of answer) {
      await new Promise((resolve) => outgoing.write(piece.subarray(0, left), resolve));
      left -= piece.length;
      if (left <= 0) break;
    }
    incoming.socket.end();
  };
  const { origin, close } = await serveOnLoopback(server);
  onTestFinished(close);
  return { endpoint: origin, requests };
}

function read({ method = '', url = '', headers }: IncomingMessage): StorageRequest {
  const { pathname, searchParams: query } = new URL(url, 'http://localhost');
  const [, , ...key] = decodeURIComponent(pathname).split('/');
  return {
    operation: operationOf(method, { isObject: key.join('') !== '', query }),
    name: key.at(-1) ?? '',
    part: Number(query.get('partNumber') ?? 0),
    from: Number(/bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0),
  };
}

function operationOf(
  method: string,
  { isObject, query }: { readonly isObject: boolean; readonly query: URLSearchParams },
): StorageOperation {
  if (!isObject) return 'list';
  if (method === 'POST') return query.has('uploads') ? 'begin' : 'complete';
  if (method === 'DELETE') return query.has('uploadId') ? 'abort' : 'delete';
  if (method === 'GET') return 'get';
  return query.has('partNumber') ? 'part' : 'put';
}
