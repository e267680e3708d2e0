import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
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
