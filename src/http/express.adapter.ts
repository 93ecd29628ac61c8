/**
 * Express under Nest, without its slow parts (measured on Node 20, one core, 50 connections).
 *
 * Express calls `Object.setPrototypeOf(req, app.request)` for each request, and V8 then discards its optimized code for
 * everything that uses the object. Here the server creates its requests and responses with these prototypes, so the call
 * changes nothing. Bare Express then answers 2.4 times as many requests per second.
 *
 * Express tries its routes one after another. Most routes have no parameter, so a map finds them. It has the handlers of
 * Nest, with their guards. A plain JSON answer is written directly; Express would look up settings, types and freshness
 * for each.
 */
import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ExpressAdapter } from '@nestjs/platform-express';
import type { Express, Request, Response } from 'express';
import type { BrainError } from '../shared/errors.js';
import { AnswerBatch } from './answer-batch.js';
import { afterShortBody } from './body.js';
import { refuseUnparsed } from './client-error.js';
import { Connection, Waiting } from './connection.js';
import { answers, inexactRoutes, type Layer, layersOf, matchExactly, methodsOf } from './express-routes.js';
import { LargeAnswers } from './gzip.js';
import { headFault } from './head.js';
import { noSuchRoute, unreadable, wrongMethod } from './problem.filter.js';

/** Node answers 431 to a longer header block. Usual clients send less. */
const MAX_HEADER_BYTES = 16_384;
/** It is read before the key is checked, so it must not be larger than the headers. */
const SHORT_BODY_BYTES = MAX_HEADER_BYTES;
/** A client that sends its request more slowly blocks a connection. */
const REQUEST_TIMEOUT_MS = 60_000;
/** Longer than load balancers keep idle connections (60 s). Otherwise they use a connection that is about to close. */
const KEEP_ALIVE_MS = 75_000;
/** A client that takes nothing of its answer, and sends nothing, for so long blocks memory. Live streams write more often. */
const STALL_MS = 60_000;

/** The form of a target that has nothing but a path and a query. Express would also find the path in another form. */
const PLAIN_TARGET = /^\/[^\s#]*$/;

type Handler = (request: Request, response: Response, next: () => void) => unknown;

interface Hooks {
  maxConnections: number;
  /** A connection was closed at once because there are too many. */
  connectionRefused(): void;
  /** Calls `serve` in the context of the request. */
  inContext(request: Request, response: Response, serve: () => void): void;
  /** Answers a request that reaches no handler. Express itself would send a page of HTML. */
  refuse(error: BrainError, request: Request, response: Response): void;
}

export class FastExpressAdapter extends ExpressAdapter {
  private readonly connections = new Map<Socket, Connection>();
  /** By method and path: the routes without parameters. */
  private readonly exact = new Map<string, { handler: Handler; route: { path: string } }>();
  private readonly repeated: string[] = [];
  private readonly batch = new AnswerBatch();
  private readonly large = new LargeAnswers();
  /** The middleware that Nest puts in front of all routes. It only runs hooks, and there are none. */
  private readonly ofNest: Set<Layer>;

  constructor(private readonly hooks: Hooks) {
    super();
    matchExactly(this.getInstance<Express>());
    this.ofNest = new Set(this.layers());
  }

  override get(...args: unknown[]): unknown {
    this.remember('GET', args);
    return (super.get as (...all: unknown[]) => unknown)(...args);
  }

  override post(...args: unknown[]): unknown {
    this.remember('POST', args);
    return (super.post as (...all: unknown[]) => unknown)(...args);
  }

  /** Checks the routes at the start. Returns a sentence for each fault; the service must not start with one. */
  routeFaults(): string[] {
    return [...this.skippedByMap(), ...inexactRoutes(this.layers())];
  }

  /**
   * Express would run middleware, and any route that matches, before a handler that was registered later. The map calls
   * its handlers directly, so no route of the map may have anything in front of it. Returns a sentence for each such case.
   */
  private skippedByMap(): string[] {
    const faults = this.repeated.map((name) => `${name} is declared by two handlers; remove one of them.`);
    const { onRequestHook, onResponseHook } = this as unknown as Record<string, unknown>;
    if (onRequestHook || onResponseHook)
      faults.push('A request hook or response hook is set, which would be skipped; remove it.');
    const inFront = new Map<Layer, string>();
    for (const [name, { handler }] of this.exact) {
      const [method = '', path = ''] = name.split(' ');
      for (const layer of this.layers()) {
        const { route } = layer;
        if (route?.stack.some(({ handle }) => handle === handler)) break;
        if (this.ofNest.has(layer) || inFront.has(layer) || (route && !answers(route, method))) continue;
        if (layer.match(path)) inFront.set(layer, name);
      }
    }
    for (const [{ name, route }, skipping] of inFront) {
      const what = route ? `The route ${route.path}` : `The middleware ${name}`;
      const advice = route ? 'declare it later' : 'make it a guard';
      faults.push(`${what} comes before ${skipping}, which would skip it; ${advice}.`);
    }
    return faults;
  }

  /** Nest calls this once, with the handler of requests that no route takes. */
  override setNotFoundHandler(unknown: Handler): unknown {
    return super.setNotFoundHandler((request: Request, response: Response, next: () => void) => {
      const methods = methodsOf(this.layers(), request.path);
      if (methods.length === 0) return unknown(request, response, next);
      response.setHeader('Allow', methods.join(', '));
      if (request.method === 'OPTIONS') return response.status(204).end();
      return this.hooks.refuse(wrongMethod(request, methods), request, response);
    });
  }

  private layers(): Layer[] {
    return layersOf(this.getInstance<Express>());
  }

  override reply(response: Response, body: unknown, statusCode?: number): unknown {
    const special = response.hasHeader('Content-Type') || response.req.headers['if-none-match'] !== undefined;
    if (special || !isPlainObject(body)) return super.reply(response, body, statusCode);
    if (statusCode !== undefined) response.statusCode = statusCode;
    const json = JSON.stringify(body);
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    if (this.large.end(response, json)) return undefined;
    response.setHeader('Content-Length', Buffer.byteLength(json));
    this.batch.end(response, json);
    return undefined;
  }

  override initHttpServer(): void {
    const app = this.getInstance<Express>();
    const handle = (request: Request, response: Response): void => {
      const connection = this.connections.get(request.socket);
      if (!connection || connection.isFinished) return;
      const fault = headFault(request);
      // Node would drop what follows an Upgrade in the same packet, and read the next packet as a request.
      if (fault !== undefined || request.headers.upgrade !== undefined) connection.finish(response);
      const route = (): void => {
        if (fault === undefined) this.route(app, request, response);
        else this.hooks.refuse(unreadable(fault), request, response);
      };
      connection.take(response, () =>
        afterShortBody(request, SHORT_BODY_BYTES, () => this.hooks.inContext(request, response, route)),
      );
    };
    app.disable('x-powered-by');
    app.disable('etag');
    // Express would parse the query at each access. The input guard sets it once, when it checks it.
    Object.defineProperty(app.request, 'query', { value: Object.freeze({}), writable: true });
    const OwnRequest = derived(IncomingMessage, app.request);
    const OwnResponse = derived<typeof ServerResponse>(ServerResponse, app.response);
    app.request = OwnRequest.prototype as Express['request'];
    app.response = OwnResponse.prototype as Express['response'];
    const server: Server = createServer(
      {
        IncomingMessage: OwnRequest,
        ServerResponse: OwnResponse,
        maxHeaderSize: MAX_HEADER_BYTES,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAlive: true,
        keepAliveTimeout: KEEP_ALIVE_MS,
        requireHostHeader: false,
      },
      handle as never,
    );
    // Node would ask for the body at once. Here `readBody` does, behind the guard. Unknown expectations are ignored.
    server.on('checkContinue', handle);
    server.on('checkExpectation', handle);
    server.on('clientError', (error, socket) => {
      const connection = this.connections.get(socket as Socket);
      // An answer that was promised is sent; then the connection is closed, which says that the rest was not read.
      if (connection?.isFinished || (isOfParser(error) && connection?.finishAfterAnswers())) return;
      refuseUnparsed(error, socket);
    });
    // Node would drop the headers after the thousandth. Their bytes are limited.
    server.maxHeadersCount = 0;
    this.bound(server);
    this.httpServer = server;
  }

  /** Limits the connections, what each of them may ask for, and how long it may take nothing. */
  private bound(server: Server): void {
    const waiting = new Waiting();
    server.timeout = STALL_MS;
    server.maxConnections = this.hooks.maxConnections;
    server.on('drop', () => this.hooks.connectionRefused());
    server.on('connection', (socket) => {
      this.connections.set(socket, new Connection(socket, waiting));
      socket.once('close', () => this.connections.delete(socket));
    });
  }

  private remember(method: string, [path, handler, ...more]: unknown[]): void {
    if (typeof path !== 'string' || typeof handler !== 'function' || /[^\w/.-]/.test(path)) return;
    // Express calls several handlers of a route in their order.
    if (more.length > 0) return;
    const name = `${method} ${path}`;
    if (this.exact.has(name)) this.repeated.push(name);
    else this.exact.set(name, { handler: handler as Handler, route: { path } });
  }

  /** Express gets the paths that are not in the map: those with parameters, and unknown ones. */
  private route(app: Express, request: Request, response: Response): void {
    const lost = (): void => this.hooks.refuse(unreadable(), request, response);
    const { url } = request;
    const query = url.indexOf('?');
    const found = this.exact.get(`${request.method} ${query < 0 ? url : url.slice(0, query)}`);
    if (!found) {
      // Express answers 400 to a target that no one can read.
      if (PLAIN_TARGET.test(url) || !URL.canParse(url, 'http://host')) app(request, response, lost);
      else this.hooks.refuse(noSuchRoute(request), request, response);
      return;
    }
    // Express would set these for the handler.
    request.res = response;
    response.req = request;
    request.originalUrl = url;
    request.baseUrl = '';
    request.params = {};
    request.route = found.route;
    found.handler(request, response, lost);
  }

  /** Ends connections on which nothing was sent. Browsers open them in advance, and Node counts them as busy. */
  closeUnusedConnections(): void {
    for (const connection of this.connections.values()) connection.endIfUnused();
  }
}

/** Whether the parser found a fault in what arrived; other errors are those of the connection itself. */
function isOfParser({ code }: NodeJS.ErrnoException): boolean {
  return code?.startsWith('HPE_') === true;
}

function isPlainObject(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Object.getPrototypeOf(body) === Object.prototype;
}

/** The same class, with a prototype of its own that inherits from this one. A class costs far less than `Reflect.construct`. */
function derived<T extends abstract new (...args: never[]) => object>(original: T, prototype: object): T {
  class Derived extends (original as unknown as new (...args: unknown[]) => object) {}
  Object.setPrototypeOf(Derived.prototype, prototype);
  return Derived as unknown as T;
}
