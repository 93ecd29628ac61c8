/** Decides one request by drafts. Their shapes were checked before; their patterns were not compiled yet. */
import type { Fault } from '../../shared/errors.js';
import { cachedPatterns, compile } from '../engine/compile.js';
import { decide } from '../engine/decide.js';
import { type ExplainOptions, explain } from '../engine/explain.js';
import type { Explanation } from '../engine/explanation.dto.js';
import { invalidPatterns } from '../engine/pattern-faults.js';
import type { EvaluateRequest, PolicyContent, Verdict } from '../engine/policy.dto.js';

export interface Draft {
  policies: readonly PolicyContent[];
  /** The place of the policies in the body. */
  pointer: string;
  request: EvaluateRequest;
  /** Undefined if nobody asks for the explanation. */
  explain: ExplainOptions | undefined;
}

export interface Tried {
  faults: Fault[];
  /** Undefined if there are faults. */
  verdict?: Verdict;
  explanation?: Explanation;
}

export function tryDraft({ policies, pointer, request, explain: options }: Draft): Tried {
  const patterns = cachedPatterns();
  const faults = invalidPatterns(policies, pointer, patterns);
  if (faults.length > 0) return { faults };
  const snapshot = compile(policies, { patterns });
  const verdict = decide(snapshot, request);
  return { faults, verdict, explanation: options && explain(snapshot, request, options) };
}
