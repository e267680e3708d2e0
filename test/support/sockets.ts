import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A port that takes connections and says nothing, as a hung server does. */
export interface MutePort {
  readonly port: number;
  /** Settles with the first connection. */
  readonly connected: Promise<unknown>;
}

export async function openMutePort(): Promise<MutePort> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on('error', () => {})));
  const connected = once(server, 'connection');
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return { port: typeof address === 'object' && address ? address.port : 0, connected };
}

export interface RelayOptions {
  readonly port: number;
  /** The URL of the server. */
  readonly to: string;
}

/** From now until the test ends, the port answers as the server does. */
export async function openRelay({ port, to }: RelayOptions): Promise<void> {
  const { hostname, port: serverPort } = new URL(to);
  const sockets: Socket[] = [];
  const relay = createServer((socket) => {
    const onward = connect(Number(serverPort || 5432), hostname);
    for (const each of [socket, onward]) sockets.push(each.on('error', () => {}));
    socket.pipe(onward).pipe(socket);
  });
  relay.listen(port, '127.0.0.1');
  await once(relay, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    relay.close();
  });
}
