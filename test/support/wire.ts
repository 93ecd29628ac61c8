/** A connection between a service and Redis that tests can break, slow down and redirect. */
import { connect, createServer, type Socket } from 'node:net';
import { sleep } from '../../src/shared/clock.js';

const HOST = '127.0.0.1';

/** Can break at the worst moment: after the server has got a command and before the client has its answer. */
export class Wire {
  /** The delay in each direction. */
  delayMs = 0;
  private readonly sockets = new Set<Socket>();
  private mark: string | undefined;
  private torn = false;
  private tearing = false;
  private stalled: Promise<void> | undefined;
  private go = (): void => undefined;
  private readonly server = createServer((client) => this.join(client));

  private constructor(private target: number) {}

  static async to(port: number): Promise<Wire> {
    const wire = new Wire(port);
    await new Promise<void>((resolve) => wire.server.listen(0, HOST, resolve));
    return wire;
  }

  get port(): number {
    const address = this.server.address();
    return typeof address === 'object' ? (address?.port ?? 0) : 0;
  }

  get url(): string {
    return `redis://${HOST}:${this.port}`;
  }

  /** The next request that contains this text loses its answer, and the connection breaks. */
  cutAfter(mark: string): void {
    this.mark = mark;
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Breaks all connections, and every new one until `mend`. */
  tear(): void {
    this.torn = true;
    this.cut();
  }

  /** When `cutAfter` breaks the connection, every new one breaks as well until `mend`. */
  tearOnCut(): void {
    this.tearing = true;
  }

  mend(): void {
    this.torn = false;
    this.tearing = false;
  }

  /** Holds everything back without an error until `resume`. */
  stall(): void {
    this.stalled ??= new Promise((resolve) => {
      this.go = resolve;
    });
  }

  resume(): void {
    this.stalled = undefined;
    this.go();
  }

  /** Connects to this port from now on, and breaks the old connections. */
  retarget(port: number): void {
    this.target = port;
    this.cut();
  }

  async close(): Promise<void> {
    this.resume();
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(client: Socket): void {
    if (this.torn) {
      client.destroy();
      return;
    }
    const server = connect(this.target, HOST);
    const there = this.lane(server);
    const back = this.lane(client);
    let doomed = false;
    for (const socket of [client, server]) {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
    client.on('data', (data) => {
      if (this.mark !== undefined && data.includes(this.mark)) {
        this.mark = undefined;
        doomed = true;
      }
      there(data);
    });
    server.on('data', (data) => {
      if (doomed) {
        if (this.tearing) this.torn = true;
        client.destroy();
      } else back(data);
    });
  }

  /** One direction of a connection. It keeps the order of the data, even if the delay changes. */
  private lane(to: Socket): (data: Buffer) => void {
    let ahead = 0;
    let tail: Promise<unknown> = Promise.resolve();
    const write = (data: Buffer): void => {
      if (to.writable) to.write(data);
    };
    return (data) => {
      const dueMs = performance.now() + this.delayMs;
      if (ahead === 0 && this.delayMs === 0 && !this.stalled) return write(data);
      ahead += 1;
      tail = tail.then(async () => {
        await sleep(dueMs - performance.now());
        await this.stalled;
        ahead -= 1;
        write(data);
      });
    };
  }
}
