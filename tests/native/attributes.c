/* An advapi32.dll for Wine 8, whose own functions for credentials drop attributes, take a blob of any size and fail
   when two programs call them at once. This one keeps the attributes in front of the blob that Wine's own functions
   store, has the limits of Windows, and lets one program in at a time. All other exports are forwarded to Wine's
   library, under the name advapi32w.dll (see wine.py). */
#include <windows.h>
#include <wincred.h>

#define LIMIT (5 * 512) /* CRED_MAX_CREDENTIAL_BLOB_SIZE; mingw's header has the value of Windows XP */

typedef BOOL (WINAPI *write_function)(PCREDENTIALW, DWORD);
typedef BOOL (WINAPI *read_function)(LPCWSTR, DWORD, DWORD, PCREDENTIALW *);
typedef BOOL (WINAPI *enumerate_function)(LPCWSTR, DWORD, DWORD *, PCREDENTIALW **);
typedef BOOL (WINAPI *delete_function)(LPCWSTR, DWORD, DWORD);

static HANDLE mutex;

static FARPROC enter(const char *name)
{
    if (!mutex) mutex = CreateMutexA(NULL, FALSE, "passhelper credentials");
    WaitForSingleObject(mutex, INFINITE);
    return GetProcAddress(LoadLibraryA("advapi32w.dll"), name);
}

static BOOL leave(BOOL result)
{
    DWORD error = GetLastError();
    ReleaseMutex(mutex);
    SetLastError(error);
    return result;
}

static DWORD size_of_text(LPCWSTR text)
{
    DWORD length = 0;
    while (text && text[length]) length++;
    return 2 * (length + 1);
}

/* What is stored: the number of attributes, as many structures with offsets for pointers, their keywords and values,
   and the blob. */
static DWORD size_of_attributes(const CREDENTIALW *c)
{
    DWORD size = 8 + c->AttributeCount * sizeof(CREDENTIAL_ATTRIBUTEW);
    for (DWORD i = 0; i < c->AttributeCount; i++)
        size += size_of_text(c->Attributes[i].Keyword) + c->Attributes[i].ValueSize;
    return size;
}

static void unpack(CREDENTIALW *c)
{
    BYTE *start = c->CredentialBlob;
    c->AttributeCount = ((DWORD *)start)[0];
    DWORD size = ((DWORD *)start)[1];
    c->Attributes = c->AttributeCount ? (CREDENTIAL_ATTRIBUTEW *)(start + 8) : NULL;
    for (DWORD i = 0; i < c->AttributeCount; i++) {
        c->Attributes[i].Keyword = (LPWSTR)(start + (ULONG_PTR)c->Attributes[i].Keyword);
        c->Attributes[i].Value = start + (ULONG_PTR)c->Attributes[i].Value;
    }
    c->CredentialBlobSize -= size;
    c->CredentialBlob = c->CredentialBlobSize ? start + size : NULL;
}

BOOL WINAPI my_CredWriteW(PCREDENTIALW c, DWORD flags)
{
    BOOL fits = c->CredentialBlobSize <= LIMIT && c->AttributeCount <= CRED_MAX_ATTRIBUTES
        && size_of_text(c->UserName) <= 2 * (CRED_MAX_USERNAME_LENGTH + 1)
        && size_of_text(c->TargetName) <= 2 * (CRED_MAX_GENERIC_TARGET_NAME_LENGTH + 1);
    for (DWORD i = 0; fits && i < c->AttributeCount; i++)
        fits = c->Attributes[i].ValueSize <= CRED_MAX_VALUE_SIZE;
    if (!fits) {
        SetLastError(RPC_X_BAD_STUB_DATA);
        return FALSE;
    }
    DWORD size = size_of_attributes(c), next = 8 + c->AttributeCount * sizeof(CREDENTIAL_ATTRIBUTEW);
    BYTE *blob = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, size + c->CredentialBlobSize);
    CREDENTIAL_ATTRIBUTEW *attributes = (CREDENTIAL_ATTRIBUTEW *)(blob + 8);
    ((DWORD *)blob)[0] = c->AttributeCount, ((DWORD *)blob)[1] = size;
    for (DWORD i = 0; i < c->AttributeCount; i++) {
        attributes[i] = c->Attributes[i];
        attributes[i].Keyword = (LPWSTR)(ULONG_PTR)next;
        memcpy(blob + next, c->Attributes[i].Keyword, size_of_text(c->Attributes[i].Keyword));
        next += size_of_text(c->Attributes[i].Keyword);
        attributes[i].Value = (BYTE *)(ULONG_PTR)next;
        memcpy(blob + next, c->Attributes[i].Value, c->Attributes[i].ValueSize);
        next += c->Attributes[i].ValueSize;
    }
    if (c->CredentialBlobSize) memcpy(blob + size, c->CredentialBlob, c->CredentialBlobSize);
    CREDENTIALW packed = *c;
    packed.CredentialBlob = blob, packed.CredentialBlobSize += size;
    packed.AttributeCount = 0, packed.Attributes = NULL;
    BOOL done = leave(((write_function)enter("CredWriteW"))(&packed, flags));
    DWORD error = GetLastError();
    HeapFree(GetProcessHeap(), 0, blob);
    SetLastError(error);
    return done;
}

BOOL WINAPI my_CredReadW(LPCWSTR target, DWORD type, DWORD flags, PCREDENTIALW *result)
{
    if (!leave(((read_function)enter("CredReadW"))(target, type, flags, result))) return FALSE;
    unpack(*result);
    return TRUE;
}

BOOL WINAPI my_CredEnumerateW(LPCWSTR filter, DWORD flags, DWORD *count, PCREDENTIALW **result)
{
    if (!leave(((enumerate_function)enter("CredEnumerateW"))(filter, flags, count, result))) return FALSE;
    for (DWORD i = 0; i < *count; i++) unpack((*result)[i]);
    return TRUE;
}

BOOL WINAPI my_CredDeleteW(LPCWSTR target, DWORD type, DWORD flags)
{
    return leave(((delete_function)enter("CredDeleteW"))(target, type, flags));
}

BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, LPVOID reserved) { return TRUE; }
