import { Body, Controller, Delete, Get, Param, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import { SendsNew, SendsNothing, SendsPage } from '../http/answers.js';
import { Idempotency, ProblemIf, Problems } from '../http/request.js';
import type { IdempotencyKey } from '../storage/store.js';
import { Access, CurrentPrincipal } from './access.decorator.js';
import { ApiKeys } from './api-keys.js';
import { KeyUses } from './key-uses.js';
import {
  type KeyInfo,
  KeyList,
  KeyQuery,
  KeyRotation,
  MadeKey,
  NewKey,
  OVERLAP_MINUTES,
  RotatedKey,
  Self,
  selfOf,
} from './keys.dto.js';
import type { Principal } from './principal.js';

const KeyId = (): MethodDecorator =>
  ApiParam({ name: 'id', description: 'The id of the key, not the key itself', example: 'key_8vzn7ryx3d0q' });
const WITHOUT_KEY = 'the first answer again, without the API key itself';

@ApiTags('keys')
@Controller('api/keys')
export class KeysController {
  constructor(
    private readonly keys: ApiKeys,
    private readonly uses: KeyUses,
  ) {}

  @Post()
  @Access('keys:manage')
  @ApiOperation({
    summary: 'Make an API key',
    description: 'The answer has the key itself. It is shown this once: the service stores only its hash.',
  })
  @SendsNew(MadeKey, 'The new key', WITHOUT_KEY)
  @ProblemIf(409, 'Or there are as many keys as the service keeps (`too_many_keys`)')
  create(
    @Body() body: NewKey,
    @CurrentPrincipal() principal: Principal,
    @Idempotency() idempotency?: IdempotencyKey,
  ): Promise<MadeKey> {
    return this.keys.create(body, principal.id, idempotency);
  }

  @Post(':id/rotate')
  @Access('keys:manage')
  @KeyId()
  @ApiOperation({
    summary: 'Replace an API key by a new one',
    description:
      'The new key has the same name, role, agents, agent roles and owner, and the same lifetime from now on. Both keys are valid until the overlap ends. The answer has the new key itself, this once.',
  })
  @SendsNew(RotatedKey, 'The new key', WITHOUT_KEY)
  @Problems(404)
  @ProblemIf(
    409,
    'Or the key has expired (`key_expired`), was replaced before (`already_rotated`), or there are as many keys as the service keeps (`too_many_keys`)',
  )
  rotate(
    @Param('id') id: string,
    @Body() body: KeyRotation,
    @CurrentPrincipal() principal: Principal,
    @Idempotency() idempotency?: IdempotencyKey,
  ): Promise<RotatedKey> {
    const { overlap_minutes = OVERLAP_MINUTES } = body;
    return this.keys.rotate(id, overlap_minutes * 60, principal.id, idempotency);
  }

  @Get()
  @Access('keys:manage')
  @ApiOperation({
    summary: 'List API keys',
    description: 'Newest first, without the keys themselves, which the service does not store.',
  })
  @SendsPage(KeyList, 'keys')
  async list(@Query() query: KeyQuery): Promise<KeyList> {
    const { rows, total, next } = await this.keys.list(query);
    if (!query.members.includes('last_used_at')) return { keys: rows as KeyInfo[], total, next_cursor: next };
    const keys = await Promise.all(
      rows.map(async (key) => ({ ...key, last_used_at: await this.uses.lastUse(key.id) })),
    );
    return { keys, total, next_cursor: next };
  }

  @Get('self')
  @Access('keys:read_self')
  @ApiOperation({
    summary: 'Read what your key may do',
    description:
      'The principal of the key that the request carries: its role and permissions, and the agents and roles that it may name.',
  })
  @ApiOkResponse({ type: Self, description: 'Who you are' })
  self(@CurrentPrincipal() principal: Principal): Self {
    return selfOf(principal, this.uses.noted(principal.id) ?? null);
  }

  @Delete(':id')
  @Access('keys:manage')
  @KeyId()
  @ApiOperation({
    summary: 'Revoke an API key',
    description: 'All replicas refuse it within a second. The last admin key cannot be revoked.',
  })
  @SendsNothing('The key is revoked', 404, 409)
  @ProblemIf(409, 'Or it is the last admin key (`last_admin`)')
  remove(@Param('id') id: string, @CurrentPrincipal() principal: Principal): Promise<void> {
    return this.keys.remove(id, principal.id);
  }
}
