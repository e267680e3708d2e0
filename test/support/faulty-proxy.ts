import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/**
 * What happens at the offset. cut: the stream ends. reset: the connection is torn down. stall: silence, and a reset
 * later. garble: the bytes from there on are others, with a reset later.
 */
export type Fault = 'cut' | 'reset' | 'stall' | 'garble';
export const faults: readonly Fault[] = ['cut', 'reset', 'stall', 'garble'];

export interface FaultyProxyOptions {
  /** The port of the server. */
  readonly to: number;
  readonly fault: Fault;
  /** After how many bytes. */
  readonly offset: number;
  /** Which bytes are counted: those of the server, or those of the client. Default `server`. */
  readonly side?: 'server' | 'client';
  /** When a stalled or garbled connection ends. Default 250. */
  readonly patienceMs?: number;
}

export interface FaultyProxy {
  readonly port: number;
  readonly close: () => void;
}

/** A port that answers as the server does, and breaks each connection at the same byte. */
export async function openFaultyProxy(options: FaultyProxyOptions): Promise<FaultyProxy> {
  const { to, side = 'server' } = options;
  const sockets: Socket[] = [];
  const proxy = createServer((client) => {
    const server = connect(to, '127.0.0.1');
    for (const each of [client, server]) sockets.push(each.on('error', () => {}));
    const [from, into] = side === 'server' ? [server, client] : [client, server];
    into.pipe(from);
    relay(from, into, { ...options, reset: () => client.resetAndDestroy() });
    client.once('close', () => server.destroy());
    server.once('close', () => client.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const address = proxy.address();
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    close: () => {
      for (const socket of sockets) socket.destroy();
      proxy.close();
    },
  };
}

function relay(
  from: Socket,
  into: Socket,
  {
    fault,
    offset,
    reset,
    patienceMs = 250,
  }: Pick<FaultyProxyOptions, 'fault' | 'offset' | 'patienceMs'> & { readonly reset: () => void },
): void {
  let left = offset;
  let isBroken = false;
  from.on('data', (chunk: Buffer) => {
    const sound = chunk.subarray(0, left);
    left -= sound.length;
    if (sound.length > 0) into.write(sound);
    if (left > 0 || sound.length === chunk.length) return;
    const rest = chunk.subarray(sound.length);
    if (fault === 'garble') into.write(rest.map((byte) => byte ^ 0x5a));
    if (isBroken) return;
    isBroken = true;
    if (fault === 'cut') into.end();
    else if (fault === 'reset') reset();
    else setTimeout(reset, patienceMs).unref();
  });
  from.on('end', () => into.end());
}
