@rem passhelper for cmd and PowerShell: isolated in a virtual environment. Elsewhere a python.exe beside it may be any.
@if exist "%~dp0..\pyvenv.cfg" if exist "%~dp0python.exe" "%~dp0python.exe" -I -m passhelper %*
@if not exist "%~dp0python.exe" "%~dp0passhelper-plain.exe" %*
@if exist "%~dp0python.exe" if not exist "%~dp0..\pyvenv.cfg" "%~dp0passhelper-plain.exe" %*
