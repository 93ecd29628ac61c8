/**
 * Reads and checks the body, the query and the path parameters of a handler. It is a guard, which runs after the one that
 * checks the key, and not a pipe: the pipes of Nest make a dozen promises for each request, and most requests need none.
 */
import { parse as parseQuery } from 'node:querystring';
import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { ROUTE_ARGS_METADATA, RouteParamtypes } from '@nestjs/common/internal';
import type { Request, Response } from 'express';
import { hasBody, type RequestWithBody, readBody } from './body.js';
import { type BodyRules, bodyRulesOf, checksItsBody } from './request.js';
import { type Class, checkedBody, checkedParam, checkedQuery, prepareChecks } from './validation.js';

type NamedFunction = object & { name: string };

interface Argument {
  kind: RouteParamtypes;
  /** The name of the path parameter, or of a single member of the body or query. */
  name?: string;
  /** Undefined if the parameter has no class. */
  type?: Class;
  /** A pipe checks the parameter instead. */
  hasPipe: boolean;
}

interface Inputs {
  body: BodyRules;
  arguments: Argument[];
}

const PLAIN: unknown[] = [Object, String, Number, Boolean, Array, undefined];

@Injectable()
export class InputGuard implements CanActivate {
  /** Reading metadata by reflection for each request would cost more than the check. */
  private readonly known = new WeakMap<object, Inputs>();

  /** `admit` checks the key again, because it may have been revoked while the body arrived. */
  constructor(private readonly admit: (context: ExecutionContext) => boolean | Promise<boolean>) {}

  canActivate(context: ExecutionContext): true | Promise<true> {
    const http = context.switchToHttp();
    const request = http.getRequest<RequestWithBody>();
    const inputs = this.inputsFor(context);
    const reading =
      request.method !== 'GET' && request.method !== 'HEAD' && hasBody(request)
        ? readBody(request, http.getResponse<Response>(), inputs.body)
        : undefined;
    if (!reading) return check(request, inputs);
    return reading.then(() => this.admit(context)).then(() => check(request, inputs));
  }

  /**
   * Reads the parameters of a handler at the start. Returns a sentence for each body, query and path parameter that nothing
   * checks; the service must not start with one.
   */
  prepare(controller: Class, handler: NamedFunction): string[] {
    const { arguments: declared } = this.inputsOf(controller, handler);
    for (const { type } of declared) if (type) prepareChecks(type);
    const checksItself = checksItsBody(handler);
    const faults = declared.flatMap((argument) => faultOf(argument, checksItself) ?? []);
    return faults.map((fault) => `${controller.name}.${handler.name} ${fault}`);
  }

  private inputsFor(context: ExecutionContext): Inputs {
    const handler = context.getHandler();
    return this.known.get(handler) ?? this.inputsOf(context.getClass<object>(), handler);
  }

  private inputsOf(controller: Class, handler: NamedFunction): Inputs {
    // The metadata of the parameters is stored by the name of the handler. A handler under another name would be unchecked.
    if ((controller.prototype as Record<string, unknown>)[handler.name] !== handler)
      throw new Error(`${controller.name}.${handler.name} is not the handler of the route; this is a bug.`);
    const inputs = { body: bodyRulesOf(handler), arguments: argumentsOf(controller, handler.name) };
    this.known.set(handler, inputs);
    return inputs;
  }
}

/** The fault in the declaration of a parameter. The guard checks whole bodies and queries against a class, and single path parameters. */
function faultOf({ kind, name, type, hasPipe }: Argument, checksItself: boolean): string | undefined {
  if (hasPipe) return undefined;
  switch (kind) {
    case RouteParamtypes.BODY:
      if (name !== undefined) return takesOne('Body', name, 'the whole body as a class');
      return type || checksItself
        ? undefined
        : 'takes a body without a class to check it against; name a class, or say @ChecksOwnBody().';
    case RouteParamtypes.QUERY:
      if (name !== undefined) return takesOne('Query', name, 'the whole query as a class');
      return type ? undefined : 'takes a query without a class to check it against; name a class.';
    case RouteParamtypes.PARAM:
      return name === undefined
        ? 'takes all path parameters at once; name each one: @Param(name).'
        : undefined;
    default:
      return undefined;
  }
}

function takesOne(decorator: string, name: string, instead: string): string {
  return `takes @${decorator}('${name}'), which nothing checks; take ${instead}.`;
}

function check(request: Request, { arguments: declared }: Inputs): true {
  const { url, params } = request;
  const mark = url.indexOf('?');
  request.query = mark < 0 ? {} : parseQuery(url.slice(mark + 1));
  for (const { kind, name, type } of declared) {
    if (kind === RouteParamtypes.BODY && type) request.body = checkedBody(type, request.body);
    else if (kind === RouteParamtypes.QUERY && type)
      request.query = checkedQuery(type, request.query) as Request['query'];
    else if (kind === RouteParamtypes.PARAM && name !== undefined) checkedParam(params[name]);
  }
  return true;
}

/** The decorated parameters of a handler in their order, from the metadata of Nest. */
function argumentsOf(controller: Class, handler: string): Argument[] {
  const types = (Reflect.getMetadata('design:paramtypes', controller.prototype as object, handler) ??
    []) as Class[];
  const decorated = (Reflect.getMetadata(ROUTE_ARGS_METADATA, controller, handler) ?? {}) as Record<
    string,
    { index: number; data?: string; pipes?: unknown[] }
  >;
  return Object.entries(decorated)
    .sort(([, one], [, other]) => one.index - other.index)
    .map(([key, { index, data, pipes = [] }]) => {
      const type = PLAIN.includes(types[index]) ? undefined : types[index];
      return { kind: Number(key.split(':')[0]), name: data, type, hasPipe: pipes.length > 0 };
    });
}
