/** The OpenAPI document and its explorer. Their files are installed with the service, so both work offline. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Controller, Get, Header, Param, Req, Res } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { Request, Response } from 'express';
import { Public } from '../security/access.decorator.js';
import { BrainError } from '../shared/errors.js';
import { type Asset, assetOf, sendAsset } from './asset.js';

/** `json` is set before the first request, when the routes are known. */
export class ApiDocument {
  json = '{}';
}

const TYPES: Record<string, string> = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
};

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>BRAiN Control Plane: API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="explorer"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

const START = `window.onload = () => {
  SwaggerUIBundle({ url: '/openapi.json', dom_id: '#explorer', deepLinking: true,
    tryItOutEnabled: true, displayRequestDuration: true, defaultModelsExpandDepth: 0 });
};
`;

/** The explorer needs inline styles. Scripts are only loaded from this service. */
const POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

@ApiExcludeController()
@Controller()
export class DocsController {
  /** By name. A promise, so that a file is read once also for requests at the same time. */
  private readonly assets = new Map<string, Promise<Asset>>();

  constructor(private readonly document: ApiDocument) {}

  @Get('openapi.json')
  @Public()
  async openapi(@Req() request: Request, @Res() response: Response): Promise<void> {
    const type = 'application/json; charset=utf-8';
    const made = this.asset('openapi.json', () => assetOf(type, Buffer.from(this.document.json)));
    sendAsset(await made, request, response);
  }

  @Get('docs')
  @Public()
  @Header('Content-Type', 'text/html; charset=utf-8')
  @Header('Content-Security-Policy', POLICY)
  page(): string {
    return PAGE;
  }

  @Get('docs/start.js')
  @Public()
  @Header('Content-Type', 'text/javascript; charset=utf-8')
  start(): string {
    return START;
  }

  @Get('docs/:file')
  @Public()
  async file(@Param('file') file: string, @Req() request: Request, @Res() response: Response): Promise<void> {
    const type = Object.hasOwn(TYPES, file) ? TYPES[file] : undefined;
    if (type === undefined) {
      throw new BrainError('not_found', 'no_such_file', 'The explorer has no such file; open /docs instead.');
    }
    const asset = await this.asset(file, async () => assetOf(type, await readFile(join(folder(), file))));
    response.setHeader('Cache-Control', 'public, max-age=3600');
    sendAsset(asset, request, response);
  }

  private asset(name: string, make: () => Promise<Asset>): Promise<Asset> {
    const known = this.assets.get(name);
    if (known) return known;
    const made = make();
    this.assets.set(name, made);
    made.catch(() => this.assets.delete(name));
    return made;
  }
}

function folder(): string {
  return dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
}
