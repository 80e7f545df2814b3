import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly bodyBytes: number;
}

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A backend that remembers what it received, and answers 200 with an empty object unless told otherwise. */
export class Stub {
  readonly received: Received[] = [];
  answer: Answer = (_, response) => void response.setHeader('Content-Type', 'application/json').end('{}');

  private readonly server = createServer(async (request, response) => {
    const chunks: Buffer[] = await request.toArray();
    const { method = '', url = '', headers } = request;
    this.received.push({ method, url, headers, bodyBytes: Buffer.concat(chunks).length });
    this.answer(request, response);
  }).on('upgrade', ({ method = '', url = '', headers }: IncomingMessage, socket) => {
    this.received.push({ method, url, headers, bodyBytes: 0 });
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    socket.pipe(socket);
  });

  /** Resolves with the port on 127.0.0.1. */
  listen(): Promise<number> {
    return new Promise(resolve => {
      this.server.listen(0, '127.0.0.1', () => resolve((this.server.address() as AddressInfo).port));
    });
  }

  /** Resolves once nothing listens any more. */
  close(): Promise<void> {
    return new Promise(resolve => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  get last(): Received {
    const last = this.received.at(-1);
    if (!last) throw new Error('the backend has received nothing');
    return last;
  }
}
