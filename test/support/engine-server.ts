import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { EmbeddedEngine } from '../../src/database/embedded/engine.ts';

/** An embedded engine behind a port of this machine, which other programs reach as a server. */
export interface EngineServer {
  readonly url: string;
  /** Ends open connections and closes the engine. */
  readonly close: () => Promise<void>;
}

/**
 * Serves the engine on a loopback port. The engine has one session, so a connection waits until the
 * connection before it has ended.
 */
export async function serveEngine(engine: EmbeddedEngine): Promise<EngineServer> {
  const sockets = new Set<Socket>();
  let last: Promise<unknown> = Promise.resolve();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    last = last.then(() => pipeline(socket, engine.connect(), socket)).catch(() => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return {
    url: `postgresql://postgres@127.0.0.1:${port}/template1`,
    close: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await last;
      await engine.close();
    },
  };
}
