@rem passhelper for cmd and PowerShell: isolated where Python lies here too, as in a virtual environment.
@if exist "%~dp0python.exe" "%~dp0python.exe" -I -m passhelper %*
@if not exist "%~dp0python.exe" "%~dp0passhelper-plain.exe" %*
