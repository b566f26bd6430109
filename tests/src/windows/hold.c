// Opens a file so that no other program can, says so, and holds it until it is killed.
#include <stdio.h>
#include <windows.h>

int wmain(int count, wchar_t **arguments)
{
    if (count != 2)
        return 2;
    HANDLE file = CreateFileW(arguments[1], GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return 1;
    puts("held");
    fflush(stdout);
    Sleep(INFINITE);
    return 0;
}
