/* Of CoreFoundation what the osxkeychain backend and security.c use; see foundation.c. */
#include <stdint.h>

typedef const void *CFTypeRef;
typedef long CFIndex;
typedef unsigned long CFTypeID;

enum { STRING = 7, DICTIONARY = 18, ARRAY = 19, DATA = 20, BOOLEAN = 21, NUMBER = 22 };

CFTypeRef CFRetain(CFTypeRef object);
void CFRelease(CFTypeRef object);
CFTypeID CFGetTypeID(CFTypeRef object);
uint8_t CFEqual(CFTypeRef one, CFTypeRef other);
CFTypeRef CFDictionaryGetValue(CFTypeRef dictionary, CFTypeRef key);
CFIndex CFArrayGetCount(CFTypeRef array);
CFTypeRef CFArrayGetValueAtIndex(CFTypeRef array, CFIndex index);

extern CFTypeRef kCFBooleanTrue;

CFTypeRef make_bytes(int kind, const void *bytes, CFIndex length);
CFTypeRef make_constant(const char *text);
CFTypeRef make_array(void);
CFTypeRef make_dictionary(void);
void put(CFTypeRef container, CFTypeRef key, CFTypeRef value);
CFIndex entries(CFTypeRef dictionary);
CFTypeRef key_at(CFTypeRef dictionary, CFIndex index);
const uint8_t *bytes_of(CFTypeRef object);
CFIndex length_of(CFTypeRef object);
void misuse(const char *what);
