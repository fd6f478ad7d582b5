/* A stand-in for the functions of advapi32 that the wincred backend calls: in memory, with the layout of 64-bit
   Windows and its limits. Stricter than Windows where a mistake would go unseen there: a block is poisoned when
   it is freed, and freeing anything but a block aborts. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint16_t wide;
typedef uint32_t dword;

struct attribute {
    wide *keyword;
    dword flags, value_size;
    uint8_t *value;
};

struct credential {
    dword flags, type;
    wide *target_name, *comment;
    dword last_written[2];
    dword blob_size;
    uint8_t *blob;
    dword persist, attribute_count;
    struct attribute *attributes;
    wide *target_alias, *user_name;
};

_Static_assert(sizeof(struct credential) == 80 && sizeof(struct attribute) == 24, "the layout of 64-bit Windows");

enum { INVALID_FLAGS = 1004, INVALID_PARAMETER = 87, NOT_FOUND = 1168, BAD_STUB_DATA = 1783 };
enum { MAX_CREDENTIALS = 4096, MAX_BLOCKS = 64 };

static struct credential *kept[MAX_CREDENTIALS];
static int count;
static struct { uint8_t *start; size_t size; } blocks[MAX_BLOCKS];
static int folds_case;
static char failing; /* the initial of the call that fails: W, R, E or D */
static int passing;  /* how many such calls succeed before it */
static dword failure;
static __thread dword last_error;

/* What the tests call. */

void fake_clear(void) { count = 0, failing = 0, folds_case = 0; }
void fake_fold_case(void) { folds_case = 1; }
void fake_fail(char call, int passes, dword error) { failing = call, passing = passes, failure = error; }
int fake_count(void) { return count; }
const struct credential *fake_credential(int index) { return kept[index]; }

int fake_live(void)
{
    int live = 0;
    for (int i = 0; i < MAX_BLOCKS; i++) live += blocks[i].start != NULL;
    return live;
}

/* Memory: a result is one block, as on Windows, so that one CredFree frees all of it. */

static size_t units(const wide *text)
{
    size_t length = 0;
    while (text && text[length]) length++;
    return length;
}

static void *put(uint8_t **next, const void *source, size_t bytes)
{
    if (!source) return NULL;
    void *copy = memcpy(*next, source, bytes);
    *next += (bytes + 7) & ~(size_t)7;
    return copy;
}

static wide *put_text(uint8_t **next, const wide *text) { return put(next, text, 2 * (units(text) + 1)); }

static size_t room(const struct credential *c)
{
    size_t bytes = sizeof *c + c->blob_size + 2 * (units(c->target_name) + units(c->comment)
        + units(c->target_alias) + units(c->user_name)) + 64;
    for (dword i = 0; i < c->attribute_count; i++)
        bytes += sizeof(struct attribute) + 2 * units(c->attributes[i].keyword) + c->attributes[i].value_size + 32;
    return bytes;
}

static struct credential *put_credential(uint8_t **next, const struct credential *c)
{
    struct credential *copy = put(next, c, sizeof *c);
    copy->target_name = put_text(next, c->target_name);
    copy->comment = put_text(next, c->comment);
    copy->target_alias = put_text(next, c->target_alias);
    copy->user_name = put_text(next, c->user_name);
    copy->blob = c->blob_size ? put(next, c->blob, c->blob_size) : NULL;
    copy->attributes = put(next, c->attributes, c->attribute_count * sizeof(struct attribute));
    for (dword i = 0; i < c->attribute_count; i++) {
        copy->attributes[i].keyword = put_text(next, c->attributes[i].keyword);
        copy->attributes[i].value = put(next, c->attributes[i].value, c->attributes[i].value_size);
    }
    return copy;
}

static uint8_t *block(size_t bytes)
{
    for (int i = 0; i < MAX_BLOCKS; i++)
        if (!blocks[i].start) {
            blocks[i].size = bytes;
            return blocks[i].start = malloc(bytes);
        }
    abort(); /* nobody frees them */
}

/* What the backend calls. */

dword GetLastError(void) { return last_error; }

static int fail(dword error)
{
    last_error = error;
    return 0;
}

static int fails(char call)
{
    if (call != failing || passing-- > 0) return 0;
    failing = 0;
    last_error = failure;
    return 1;
}

static int find(const wide *target)
{
    for (int i = 0; i < count; i++) {
        const wide *name = kept[i]->target_name;
        size_t n = 0;
        while (name[n] && (name[n] == target[n] || (folds_case && name[n] < 128 && target[n] < 128
            && (name[n] | 32) == (target[n] | 32) && (name[n] | 32) >= 'a' && (name[n] | 32) <= 'z'))) n++;
        if (!name[n] && !target[n]) return i;
    }
    return -1;
}

int CredWriteW(const struct credential *c, dword flags)
{
    if (fails('W')) return 0;
    if (flags) return fail(INVALID_FLAGS);
    if (!c || c->type != 1 || c->flags || !c->persist || !units(c->target_name)) return fail(INVALID_PARAMETER);
    if ((c->blob_size && !c->blob) || (c->attribute_count && !c->attributes)) return fail(INVALID_PARAMETER);
    if (c->blob_size > 5 * 512 || units(c->user_name) > 513 || units(c->target_name) > 32767) return fail(BAD_STUB_DATA);
    if (c->attribute_count > 64 || units(c->comment) > 256 || units(c->target_alias) > 256) return fail(BAD_STUB_DATA);
    for (dword i = 0; i < c->attribute_count; i++)
        if (c->attributes[i].value_size > 256 || units(c->attributes[i].keyword) > 256) return fail(BAD_STUB_DATA);
    uint8_t *next = malloc(room(c));
    struct credential *copy = put_credential(&next, c);
    int found = find(c->target_name);
    if (found < 0 && count == MAX_CREDENTIALS) abort();
    kept[found < 0 ? count++ : found] = copy;
    return 1;
}

int CredReadW(const wide *target, dword type, dword flags, struct credential **result)
{
    if (fails('R')) return 0;
    int found = find(target);
    if (type != 1 || flags) return fail(INVALID_PARAMETER);
    if (found < 0) return fail(NOT_FOUND);
    uint8_t *next = block(room(kept[found]));
    *result = put_credential(&next, kept[found]);
    return 1;
}

int CredEnumerateW(const wide *filter, dword flags, dword *found, struct credential ***result)
{
    if (fails('E')) return 0;
    if (filter || flags) return fail(INVALID_PARAMETER);
    if (!count) return fail(NOT_FOUND);
    size_t bytes = count * sizeof(void *);
    for (int i = 0; i < count; i++) bytes += room(kept[i]);
    uint8_t *next = block(bytes);
    *result = (struct credential **)next;
    next += count * sizeof(void *);
    for (int i = 0; i < count; i++) (*result)[i] = put_credential(&next, kept[i]);
    *found = count;
    return 1;
}

int CredDeleteW(const wide *target, dword type, dword flags)
{
    if (fails('D')) return 0;
    int found = find(target);
    if (type != 1 || flags) return fail(INVALID_PARAMETER);
    if (found < 0) return fail(NOT_FOUND);
    kept[found] = kept[--count];
    return 1;
}

void CredFree(void *start)
{
    for (int i = 0; i < MAX_BLOCKS; i++)
        if (start && blocks[i].start == start) {
            memset(start, 0xdd, blocks[i].size);
            blocks[i].start = NULL; /* never given back, so that a later use is seen */
            return;
        }
    abort();
}
