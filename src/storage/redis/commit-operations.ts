/**
 * The operations of `scripts/commit.lua`: their names, and their letters in the request. One letter for each operation keeps
 * the request short. The header of the script says what each operation does and which arguments it has.
 */

export const CHECK = {
  EXPECT_ABSENT: 'a',
  EXPECT_VALUE: 'e',
  EXPECT_INDEX_VERSION: 'v',
  EXPECT_FEWER_ROWS: 'r',
} as const;

export const REMOVAL = {
  DELETE_STRING: 'D',
  DELETE_LIST: 'L',
  DELETE_STRING_IF_EQUAL: 'U',
  REMOVE_FROM_SET: 'R',
  REMOVE_FROM_INDEX: 'J',
} as const;

export const WRITE = {
  SET_STRING: 'S',
  SET_IDEMPOTENCY_RECORD: 'O',
  ADD_TO_SET: 'A',
  ADD_TO_INDEX: 'I',
  APPEND_TO_LIST: 'P',
  SET_FIELD: 'M',
  ADD_TO_COUNTERS: 'H',
  RENDER_STATS: 'T',
} as const;

/** The marks of a stats template. No JSON text contains them, because JSON escapes control characters. */
export const MARK = {
  /** Begins the name of a counter. */
  COUNTER: '\x01',
  /** Ends a place of either kind. */
  END: '\x02',
  /** Begins a computed value: a mean (sum, count, scale), or the time when it is empty. */
  COMPUTED: '\x03',
  /** Separates the parts of a mean. */
  PART: '\x04',
} as const;

export type Check = (typeof CHECK)[keyof typeof CHECK];
export type Removal = (typeof REMOVAL)[keyof typeof REMOVAL];
export type Write = (typeof WRITE)[keyof typeof WRITE];
