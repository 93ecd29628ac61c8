/** What the router of Express knows. No other file uses its private parts; `inexactRoutes` checks them at the start. */
import type { Express } from 'express';

/** One entry of the router: middleware or a route. */
export interface Layer {
  name: string;
  route?: { path: string; methods: Record<string, boolean>; stack: { handle: unknown }[] };
  match(path: string): boolean;
}

interface Router {
  stack: Layer[];
  caseSensitive: boolean;
  strict: boolean;
}

const routerOf = (app: Express): Router => (app as unknown as { router: Router }).router;

export const layersOf = (app: Express): Layer[] => routerOf(app).stack;

/**
 * Routes that are added from now on match in this case only, and without a slash at the end. A proxy with rules for paths
 * would otherwise let another spelling through. The settings of Express for it came too late: Nest has made the router.
 */
export function matchExactly(app: Express): void {
  Object.assign(routerOf(app), { caseSensitive: true, strict: true });
}

/** A sentence for each route that matches more than its own path. */
export function inexactRoutes(layers: Layer[]): string[] {
  return layers.flatMap((layer) => {
    const path = layer.route?.path;
    if (path === undefined || !(layer.match(path.toUpperCase()) || layer.match(`${path}/`))) return [];
    return [`The route ${path} matches other spellings too; this release of Express is not supported.`];
  });
}

export function answers(route: { methods: Record<string, boolean> }, method: string): boolean {
  return route.methods[method.toLowerCase()] === true || route.methods._all === true;
}

/** The methods of a path, as the header Allow lists them. Empty if no route has the path. */
export function methodsOf(layers: Layer[], path: string): string[] {
  const methods = new Set<string>();
  for (const layer of layers) {
    if (!layer.route || !layer.match(path)) continue;
    for (const method of Object.keys(layer.route.methods)) methods.add(method.toUpperCase());
  }
  if (methods.size === 0) return [];
  if (methods.has('GET')) methods.add('HEAD');
  return [...methods.add('OPTIONS')].sort();
}
