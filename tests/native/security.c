/* A stand-in for the SecItem functions of macOS on internet passwords, over foundation.c. What it does and refuses
   follows Apple's published source for file keychains (Security, SecItem.cpp): a query without
   kSecMatchLimit means one item, also for SecItemDelete and SecItemUpdate, so a loose query hits the first item
   that it meets; attributes that are left out match anything; data is never returned for all matches. */
#include "foundation.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int32_t OSStatus;

enum { PARAM = -50, DUPLICATE = -25299, NOT_FOUND = -25300 };
enum { MAX_ITEMS = 4096 };

/* The constants by name and value; an item keeps those attributes whose index is below ATTRIBUTES. */
#define CONSTANTS(X) \
    X(kSecAttrAccount, "acct") X(kSecAttrAuthenticationType, "atyp") X(kSecAttrLabel, "labl") X(kSecAttrPath, "path") \
    X(kSecAttrPort, "port") X(kSecAttrProtocol, "ptcl") X(kSecAttrServer, "srvr") X(kSecClass, "class") \
    X(kSecClassInternetPassword, "inet") X(kSecValueData, "v_Data") X(kSecValuePersistentRef, "v_PersistentRef") \
    X(kSecReturnAttributes, "r_Attributes") X(kSecReturnData, "r_Data") X(kSecReturnPersistentRef, "r_PersistentRef") \
    X(kSecMatchItemList, "m_ItemList") X(kSecMatchLimit, "m_Limit") X(kSecMatchLimitAll, "m_LimitAll") \
    X(kSecMatchLimitOne, "m_LimitOne")
enum { ATTRIBUTES = 7, PORT = 4 };

#define DEFINE(name, text) CFTypeRef name;
CONSTANTS(DEFINE)
static CFTypeRef *const constants[] = {
#define ADDRESS(name, text) &name,
    CONSTANTS(ADDRESS)
};
enum { CONSTANT_COUNT = sizeof constants / sizeof *constants };

__attribute__((constructor)) static void make_constants(void)
{
#define MAKE(name, text) name = make_constant(text);
    CONSTANTS(MAKE)
}

struct item {
    int is_used;
    int32_t number; /* the persistent reference */
    CFTypeRef attributes[ATTRIBUTES], data;
};

static struct item items[MAX_ITEMS];
static int32_t numbers;
static char failing; /* the initial of the call that fails: A, C, U or D */
static int passing;
static OSStatus failure;
static int hangs, questions = 1, shows_port_zero;

/* What the tests call. */

void fake_fail(char call, int passes, OSStatus status) { failing = call, passing = passes, failure = status; }
void fake_hang(int does) { hangs = does; }
void fake_show_port_zero(int does) { shows_port_zero = does; }
int fake_questions(void) { return questions; }

static void remove_item(struct item *item)
{
    for (int i = 0; i < ATTRIBUTES; i++)
        if (item->attributes[i]) CFRelease(item->attributes[i]);
    CFRelease(item->data);
    memset(item, 0, sizeof *item);
}

void fake_clear(void)
{
    for (int i = 0; i < MAX_ITEMS; i++)
        if (items[i].is_used) remove_item(&items[i]);
    failing = 0, hangs = 0, questions = 1, shows_port_zero = 0;
}

/* Write all items as lines of "name type value", values in hexadecimal, an empty line after each item. */
void fake_dump(char *text, size_t size)
{
    FILE *out = fmemopen(text, size, "w");
    for (int i = 0; i < MAX_ITEMS; i++) {
        if (!items[i].is_used) continue;
        for (int j = 0; j <= ATTRIBUTES; j++) {
            CFTypeRef value = j < ATTRIBUTES ? items[i].attributes[j] : items[i].data;
            if (!value) continue;
            fprintf(out, "%.*s %lu ", (int)length_of(*constants[j < ATTRIBUTES ? j : ATTRIBUTES + 2]),
                    bytes_of(*constants[j < ATTRIBUTES ? j : ATTRIBUTES + 2]), CFGetTypeID(value));
            for (CFIndex k = 0; k < length_of(value); k++) fprintf(out, "%02x", bytes_of(value)[k]);
            fputc('\n', out);
        }
        fputc('\n', out);
    }
    fclose(out);
}

/* How queries are read. */

static OSStatus begin(char call, CFTypeRef query)
{
    while (hangs) pause();
    if (call == failing && passing-- <= 0) {
        failing = 0;
        return failure;
    }
    for (CFIndex i = 0; i < entries(query); i++) {
        int known = 0;
        for (int j = 0; j < CONSTANT_COUNT; j++) known |= key_at(query, i) == *constants[j];
        if (!known) misuse("a key that is not a constant");
    }
    for (int i = 0; i < ATTRIBUTES; i++) {
        CFTypeRef value = CFDictionaryGetValue(query, *constants[i]);
        if (value && CFGetTypeID(value) != (i == PORT ? NUMBER : STRING)) misuse("an attribute of the wrong type");
    }
    CFTypeRef data = CFDictionaryGetValue(query, kSecValueData);
    if (data && CFGetTypeID(data) != DATA) misuse("a secret that is not a CFData");
    return 0;
}

static int asks(CFTypeRef query, CFTypeRef key)
{
    return CFDictionaryGetValue(query, key) == kCFBooleanTrue;
}

static CFTypeRef reference(const struct item *item) { return make_bytes(DATA, &item->number, sizeof item->number); }

static int is_match(CFTypeRef query, const struct item *item)
{
    if (!item->is_used) return 0;
    for (int i = 0; i < ATTRIBUTES; i++) {
        CFTypeRef wanted = CFDictionaryGetValue(query, *constants[i]);
        if (wanted && !(item->attributes[i] && CFEqual(wanted, item->attributes[i]))) return 0;
    }
    CFTypeRef list = CFDictionaryGetValue(query, kSecMatchItemList), mine = reference(item);
    int listed = !list;
    for (CFIndex i = 0; list && i < CFArrayGetCount(list); i++) listed |= CFEqual(CFArrayGetValueAtIndex(list, i), mine);
    CFRelease(mine);
    return listed;
}

/* Find the first match that is not before an item; NULL for none. */
static struct item *next(CFTypeRef query, struct item *from)
{
    for (struct item *item = from; item < items + MAX_ITEMS; item++)
        if (is_match(query, item)) return item;
    return NULL;
}

/* What the backend calls. */

OSStatus SecKeychainSetUserInteractionAllowed(uint8_t allowed)
{
    questions = allowed;
    return 0;
}

OSStatus SecItemAdd(CFTypeRef query, CFTypeRef *result)
{
    OSStatus status = begin('A', query);
    if (status) return status;
    if (CFDictionaryGetValue(query, kSecClass) != kSecClassInternetPassword) return PARAM;
    if (result || !CFDictionaryGetValue(query, kSecValueData)) return PARAM;
    struct item *free_ = NULL;
    for (int i = MAX_ITEMS - 1; i >= 0; i--) {
        int same = items[i].is_used;
        if (!same) free_ = &items[i];
        for (int j = 0; same && j < ATTRIBUTES; j++) { /* the label is not part of the key */
            CFTypeRef one = CFDictionaryGetValue(query, *constants[j]), other = items[i].attributes[j];
            if (*constants[j] != kSecAttrLabel) same = one && other ? CFEqual(one, other) : one == other;
        }
        if (same) return DUPLICATE;
    }
    if (!free_) abort();
    free_->is_used = 1, free_->number = ++numbers;
    for (int j = 0; j < ATTRIBUTES; j++) {
        CFTypeRef value = CFDictionaryGetValue(query, *constants[j]);
        if (value) free_->attributes[j] = CFRetain(value);
    }
    free_->data = CFRetain(CFDictionaryGetValue(query, kSecValueData));
    return 0;
}

static CFTypeRef describe(CFTypeRef query, const struct item *item)
{
    CFTypeRef dictionary = make_dictionary();
    put(dictionary, kSecClass, kSecClassInternetPassword);
    for (int i = 0; i < ATTRIBUTES; i++)
        if (item->attributes[i]) put(dictionary, *constants[i], item->attributes[i]);
    if (shows_port_zero && !item->attributes[PORT]) {
        CFTypeRef zero = make_bytes(NUMBER, "\0\0\0\0", 4);
        put(dictionary, kSecAttrPort, zero);
        CFRelease(zero);
    }
    if (asks(query, kSecReturnPersistentRef)) {
        CFTypeRef mine = reference(item);
        put(dictionary, kSecValuePersistentRef, mine);
        CFRelease(mine);
    }
    return dictionary;
}

OSStatus SecItemCopyMatching(CFTypeRef query, CFTypeRef *result)
{
    OSStatus status = begin('C', query);
    if (status) return status;
    if (CFDictionaryGetValue(query, kSecClass) != kSecClassInternetPassword) return PARAM;
    CFTypeRef limit = CFDictionaryGetValue(query, kSecMatchLimit);
    int all = limit == kSecMatchLimitAll, data = asks(query, kSecReturnData), attributes = asks(query, kSecReturnAttributes);
    if (data == attributes || all != attributes) return PARAM; /* of the kinds of query only those two are served */
    struct item *item = next(query, items);
    if (!item) return NOT_FOUND;
    if (data) {
        *result = CFRetain(item->data);
        return 0;
    }
    *result = make_array();
    for (; item; item = next(query, item + 1)) {
        CFTypeRef dictionary = describe(query, item);
        put(*result, NULL, dictionary);
        CFRelease(dictionary);
    }
    return 0;
}

OSStatus SecItemUpdate(CFTypeRef query, CFTypeRef change)
{
    OSStatus status = begin('U', query);
    if (status) return status;
    CFTypeRef data = CFDictionaryGetValue(change, kSecValueData);
    struct item *item = next(query, items);
    if (entries(change) != 1 || !data || CFGetTypeID(data) != DATA) return PARAM;
    if (!item) return NOT_FOUND;
    CFRelease(item->data);
    item->data = CFRetain(data);
    return 0;
}

OSStatus SecItemDelete(CFTypeRef query)
{
    OSStatus status = begin('D', query);
    if (status) return status;
    struct item *item = next(query, items);
    if (!item) return NOT_FOUND;
    remove_item(item);
    return 0;
}
