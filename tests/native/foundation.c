/* A small and strict CoreFoundation: strings, data, 32-bit numbers, arrays and dictionaries. It counts the objects
   that are alive and aborts on a use after release, a wrong type, a wrong number type or wrong callbacks. */
#include "foundation.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIVE = 0x0cf0cf0c, DEAD = 0x0dead0cf, UTF8 = 0x08000100, SINT32 = 3 };

struct object {
    uint32_t state;
    int kind, references;
    int is_constant;
    CFIndex length; /* bytes, or entries of a container */
    uint8_t *bytes;
    CFTypeRef *keys, *values;
};

struct callbacks { CFIndex version; void *functions[5]; };
struct callbacks kCFTypeDictionaryKeyCallBacks, kCFTypeDictionaryValueCallBacks, kCFTypeArrayCallBacks;

static struct object true_ = { ALIVE, BOOLEAN, 1, 1, 0, NULL, NULL, NULL };
CFTypeRef kCFBooleanTrue = &true_;
static long live;

long fake_live(void) { return live; }

void misuse(const char *what)
{
    fprintf(stderr, "misuse of CoreFoundation: %s\n", what);
    abort();
}

static struct object *use(CFTypeRef reference, int kind)
{
    struct object *object = (struct object *)reference;
    if (!object) misuse("NULL");
    if (object->state == DEAD) misuse("use after release");
    if (object->state != ALIVE) misuse("no object");
    if (kind && object->kind != kind) misuse("wrong type");
    return object;
}

static struct object *make(int kind)
{
    struct object *object = calloc(1, sizeof *object);
    object->state = ALIVE, object->kind = kind, object->references = 1;
    live++;
    return object;
}

CFTypeRef make_bytes(int kind, const void *bytes, CFIndex length)
{
    struct object *object = make(kind);
    object->length = length;
    object->bytes = memcpy(malloc(length + 1), bytes, length);
    return object;
}

CFTypeRef make_constant(const char *text)
{
    struct object *object = (struct object *)make_bytes(STRING, text, strlen(text));
    object->is_constant = 1;
    live--;
    return object;
}

CFTypeRef make_array(void) { return make(ARRAY); }
CFTypeRef make_dictionary(void) { return make(DICTIONARY); }

void put(CFTypeRef container, CFTypeRef key, CFTypeRef value)
{
    struct object *object = use(container, 0);
    object->keys = realloc(object->keys, (object->length + 1) * sizeof key);
    object->values = realloc(object->values, (object->length + 1) * sizeof value);
    object->keys[object->length] = key ? CFRetain(key) : NULL;
    object->values[object->length++] = CFRetain(value);
}

CFIndex entries(CFTypeRef dictionary) { return use(dictionary, DICTIONARY)->length; }
CFTypeRef key_at(CFTypeRef dictionary, CFIndex index) { return use(dictionary, DICTIONARY)->keys[index]; }
const uint8_t *bytes_of(CFTypeRef object) { return use(object, 0)->bytes; }
CFIndex length_of(CFTypeRef object) { return use(object, 0)->length; }

CFTypeRef CFRetain(CFTypeRef reference)
{
    use(reference, 0)->references++;
    return reference;
}

void CFRelease(CFTypeRef reference)
{
    struct object *object = use(reference, 0);
    if (object->is_constant) return; /* releasing a constant does no harm on macOS either */
    if (--object->references) return;
    for (CFIndex i = 0; object->values && i < object->length; i++) {
        if (object->keys[i]) CFRelease(object->keys[i]);
        CFRelease(object->values[i]);
    }
    if (object->bytes) memset(object->bytes, 0xdd, object->length);
    object->state = DEAD; /* never given back, so that a later use is seen */
    live--;
}

CFTypeID CFGetTypeID(CFTypeRef reference) { return use(reference, 0)->kind; }
CFTypeID CFArrayGetTypeID(void) { return ARRAY; }
CFTypeID CFDataGetTypeID(void) { return DATA; }
CFTypeID CFDictionaryGetTypeID(void) { return DICTIONARY; }
CFTypeID CFNumberGetTypeID(void) { return NUMBER; }
CFTypeID CFStringGetTypeID(void) { return STRING; }

uint8_t CFEqual(CFTypeRef one, CFTypeRef other)
{
    struct object *a = use(one, 0), *b = use(other, 0);
    if (a == b) return 1;
    if (a->kind != b->kind || !a->bytes || !b->bytes) return 0;
    return a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

static int is_utf8(const uint8_t *text, CFIndex length)
{
    for (CFIndex i = 0; i < length;) {
        int more = text[i] < 0x80 ? 0 : text[i] >> 5 == 6 ? 1 : text[i] >> 4 == 14 ? 2 : text[i] >> 3 == 30 ? 3 : -1;
        if (more < 0 || i + more >= length) return 0;
        for (i++; more; i++, more--)
            if (text[i] >> 6 != 2) return 0;
    }
    return 1;
}

CFTypeRef CFStringCreateWithBytes(void *allocator, const uint8_t *text, CFIndex length, uint32_t encoding, uint8_t external)
{
    if (allocator || encoding != UTF8 || external) misuse("CFStringCreateWithBytes");
    return is_utf8(text, length) ? make_bytes(STRING, text, length) : NULL;
}

CFIndex CFStringGetLength(CFTypeRef string)
{
    struct object *object = use(string, STRING);
    CFIndex units = 0; /* of UTF-16 */
    for (CFIndex i = 0; i < object->length; i++)
        if (object->bytes[i] >> 6 != 2) units += object->bytes[i] >= 0xf0 ? 2 : 1;
    return units;
}

CFIndex CFStringGetMaximumSizeForEncoding(CFIndex units, uint32_t encoding)
{
    if (encoding != UTF8) misuse("encoding");
    return 3 * units;
}

struct range { CFIndex location, length; };

CFIndex CFStringGetBytes(CFTypeRef string, struct range range, uint32_t encoding, uint8_t loss, uint8_t external,
                         uint8_t *buffer, CFIndex size, CFIndex *used)
{
    struct object *object = use(string, STRING);
    if (range.location || range.length != CFStringGetLength(string) || encoding != UTF8 || loss || external)
        misuse("CFStringGetBytes");
    if (size < object->length) misuse("a buffer that is too small");
    memcpy(buffer, object->bytes, object->length);
    *used = object->length;
    return range.length;
}

CFTypeRef CFDataCreate(void *allocator, const uint8_t *bytes, CFIndex length)
{
    if (allocator) misuse("CFDataCreate");
    return make_bytes(DATA, bytes, length);
}

CFIndex CFDataGetLength(CFTypeRef data) { return use(data, DATA)->length; }
const uint8_t *CFDataGetBytePtr(CFTypeRef data) { return use(data, DATA)->bytes; }

CFTypeRef CFNumberCreate(void *allocator, CFIndex type, const int32_t *value)
{
    if (allocator || type != SINT32) misuse("CFNumberCreate");
    return make_bytes(NUMBER, value, 4);
}

uint8_t CFNumberGetValue(CFTypeRef number, CFIndex type, int32_t *value)
{
    if (type != SINT32) misuse("CFNumberGetValue");
    memcpy(value, use(number, NUMBER)->bytes, 4);
    return 1;
}

CFTypeRef CFArrayCreate(void *allocator, CFTypeRef *values, CFIndex count, const struct callbacks *callbacks)
{
    if (allocator || callbacks != &kCFTypeArrayCallBacks) misuse("CFArrayCreate");
    CFTypeRef array = make_array();
    for (CFIndex i = 0; i < count; i++) put(array, NULL, values[i]);
    return array;
}

CFIndex CFArrayGetCount(CFTypeRef array) { return use(array, ARRAY)->length; }

CFTypeRef CFArrayGetValueAtIndex(CFTypeRef array, CFIndex index)
{
    struct object *object = use(array, ARRAY);
    if (index < 0 || index >= object->length) misuse("index");
    return object->values[index];
}

CFTypeRef CFDictionaryCreate(void *allocator, CFTypeRef *keys, CFTypeRef *values, CFIndex count,
                             const struct callbacks *of_keys, const struct callbacks *of_values)
{
    if (allocator || of_keys != &kCFTypeDictionaryKeyCallBacks || of_values != &kCFTypeDictionaryValueCallBacks)
        misuse("CFDictionaryCreate");
    CFTypeRef dictionary = make_dictionary();
    for (CFIndex i = 0; i < count; i++) put(dictionary, keys[i], values[i]);
    return dictionary;
}

CFTypeRef CFDictionaryGetValue(CFTypeRef dictionary, CFTypeRef key)
{
    struct object *object = use(dictionary, DICTIONARY);
    for (CFIndex i = 0; i < object->length; i++)
        if (CFEqual(object->keys[i], key)) return object->values[i];
    return NULL;
}
