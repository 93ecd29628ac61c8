/** What the answers of many routes have in common, with its documentation. */
import { applyDecorators, HttpCode } from '@nestjs/common';
import { ApiCreatedResponse, ApiNoContentResponse, ApiOkResponse } from '@nestjs/swagger';
import { Described, Text } from '../shared/fields.js';
import { Idempotent, Problems } from './request.js';

type Answer = new () => object;

/** One page of a list. */
export const SendsPage = (type: Answer, rows: string): MethodDecorator =>
  applyDecorators(ApiOkResponse({ type, description: `One page of ${rows}` }), Problems(422));

/** 204: it is deleted. */
export const SendsNothing = (description: string, ...problems: number[]): MethodDecorator =>
  applyDecorators(HttpCode(204), ApiNoContentResponse({ description }), Problems(...problems));

/** 201: the body made something new. With an Idempotency-Key it is made once. */
export const SendsNew = (type: Answer, description: string, repeated?: string): MethodDecorator =>
  applyDecorators(
    Idempotent(repeated),
    ApiCreatedResponse({ type, description }),
    Problems(400, 409, 413, 415, 422),
  );

@Described('Who caused an event or a report')
export class Actor {
  @Text({
    max: 256,
    description: 'The id of the principal; `brain:<part>` for the service itself',
    example: 'key_8vzn7ryx3d0q',
  })
  id!: string;

  @Text({ max: 64, description: 'The role of the principal; `service` for the service', example: 'agent' })
  role!: string;

  @Text({ max: 256, description: 'The name of the principal', example: 'researcher-7' })
  name!: string;
}
