/** Finds the handlers of all routes in the same way as Nest. */
import type { INestApplicationContext } from '@nestjs/common';
import { METHOD_METADATA } from '@nestjs/common/constants.js';
import { MetadataScanner, ModulesContainer } from '@nestjs/core';
import type { Class } from './validation.js';

export interface RouteHandler {
  controller: Class;
  handler: (...args: never[]) => unknown;
}

export function handlersOf(app: INestApplicationContext): RouteHandler[] {
  const scanner = new MetadataScanner();
  return [...app.get(ModulesContainer).values()].flatMap((module) =>
    [...module.controllers.values()].flatMap(({ metatype }) => {
      const controller = metatype as Class | undefined;
      if (!controller) return [];
      const methods = controller.prototype as Record<string, RouteHandler['handler']>;
      return scanner
        .getAllMethodNames(methods)
        .map((name) => ({ controller, handler: methods[name] }))
        .filter(({ handler }) => Reflect.hasMetadata(METHOD_METADATA, handler));
    }),
  );
}
